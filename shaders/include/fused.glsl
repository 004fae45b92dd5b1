// The whole step of a winner pair in one pass: distances in tiles, the nearest right and wrong prototype of each row, the objective,
// and what the rows pull the prototypes with, without writing a matrix of rows and prototypes. The metric is the squared Euclidean
// distance of rows or of their one projection, or with RELEVANCE the weighted one.
//
// A workgroup of 64 goes through tiles of 64 rows, an invocation with 8 x 8 distances in registers. Its sums lie in shared memory,
// CELLS = p l words of them beside one tile of distances (16,640 bytes; the staging of the products lies in the same words). In the
// pull an invocation owns a column of features: nobody else writes its sums, and they are added in the order of the rows.

#include "lvq.glsl"

layout(local_size_x = 64) in;

layout(constant_id = 2) const uint TRANSFER = 0;
layout(constant_id = 3) const uint OPTIONS = 0;
layout(constant_id = 4) const uint RELEVANCE = 0;
layout(constant_id = 5) const uint CELLS = 64;
// l with RELEVANCE, else 1.
layout(constant_id = 6) const uint SQUARES = 1;

layout(std430, binding = 0) readonly buffer Y { float y[]; };
layout(std430, binding = 1) readonly buffer V { float v[]; };
layout(std430, binding = 2) readonly buffer Own { float own[]; };
layout(std430, binding = 3) readonly buffer Codes { uint codes[]; };
layout(std430, binding = 4) readonly buffer Factors { float factors[]; };
layout(std430, binding = 5) readonly buffer Labels { uint labels[]; };
layout(std430, binding = 6) writeonly buffer Outcome { float outcome[]; };
// Of each workgroup what its rows pull the prototypes with (p x l); with RELEVANCE behind that sum g e^2 of prototype 0's row, and
// nothing in the rows of the others: only their sum over prototypes is wanted.
layout(std430, binding = 7) writeonly buffer Sums { float sums[]; };
// With PUSH what the two prototypes push each row's projection with, n x l.
layout(std430, binding = 8) writeonly buffer H { float h[]; };
layout(std430, binding = 9) readonly buffer Dynamic { float dynamic[]; };

layout(push_constant) uniform Sizes {
    uint n;
    uint p;
    uint l;
    uint ld;
    // First row of the chunk in the pass, and in y.
    uint base;
    uint y_base;
    float margin;
    float beta;
};

#define GRADIENT 1u
#define PUSH 64u

#define ROWS 64u
#define WIDTH 65u
#define DEPTH 16u

// DEPTH rows of 64 of the data, then of the prototypes; or 64 distances of each of 64 rows.
shared float tile[64u * 65u];
shared float pulls[CELLS];
// sum g e^2 of each feature.
shared float squares[SQUARES];
shared uint plus_[ROWS];
shared uint minus_[ROWS];
shared float g_plus[ROWS];
shared float g_minus[ROWS];

#define BS (DEPTH * WIDTH)
