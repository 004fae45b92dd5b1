// The whole step of a winner pair in one pass: distances in tiles, the nearest right and wrong prototype of each row, the objective,
// and what the rows pull the prototypes with, without writing a matrix of rows and prototypes. The metric is the squared Euclidean
// distance of rows or of their one projection, or with RELEVANCE the weighted one.
//
// A workgroup of 64 goes through tiles of 64 rows, an invocation with 8 x 8 distances in registers. Its sums lie in shared memory,
// CELLS = p l words of them beside one tile of distances (16,640 bytes; the staging of the products lies in the same words). In the
// pull an invocation owns a column of features: nobody else writes its sums, and they are added in the order of the rows.

#include "lvq.glsl"

LOCAL_SIZE(64);

CONSTANT(2, TRANSFER, 0);
CONSTANT(3, OPTIONS, 0);
CONSTANT(4, RELEVANCE, 0);
CONSTANT(8, CELLS, 64);
// l with RELEVANCE, else 1.
CONSTANT(9, SQUARES, 1);

BUFFER(0, readonly, float, y);
BUFFER(1, readonly, float, v);
BUFFER(2, readonly, float, own);
BUFFER(3, readonly, uint, codes);
BUFFER(4, readonly, float, factors);
BUFFER(5, readonly, uint, labels);
BUFFER(6, writeonly, float, outcome);
// Of each workgroup what its rows pull the prototypes with (p x l); with RELEVANCE behind that sum g e^2 of prototype 0's row, and
// nothing in the rows of the others: only their sum over prototypes is wanted.
BUFFER(7, writeonly, float, sums);
// With PUSH what the two prototypes push each row's projection with, n x l.
BUFFER(8, writeonly, float, h);
BUFFER(9, readonly, float, dynamic);

PUSH_BEGIN
    uint n;
    uint p;
    uint l;
    uint ld;
    // First row of the chunk in the pass, and in y.
    uint base;
    uint y_base;
    float margin;
    float beta;
PUSH_END

#define GRADIENT 1u
#define PUSH 64u

#define ROWS 64u
#define WIDTH 65u
#define DEPTH 16u

// DEPTH rows of 64 of the data, then of the prototypes; or 64 distances of each of 64 rows.
SHARED(float, tile, 64u * 65u);
SHARED_SIZED(float, pulls, CELLS);
// sum g e^2 of each feature.
SHARED_SIZED(float, squares, SQUARES);
SHARED(uint, plus_, ROWS);
SHARED(uint, minus_, ROWS);
SHARED(float, g_plus, ROWS);
SHARED(float, g_minus, ROWS);

#define BS (DEPTH * WIDTH)
