// The buffers of a pass over rows: from the keys of a chunk of rows to losses and slopes. An invocation has one row.
//
// Matrices with an entry for each prototype and row lie prototype by prototype: entry (i, j) at j * stride + i, so that
// neighbouring invocations read neighbouring words.

#include "lvq.glsl"

layout(local_size_x = 64) in;

// What distance a key stands for: 0 itself, 1 -2 expm1(-key), 2 exp(key).
layout(constant_id = 0) const uint MAP = 0;
layout(constant_id = 1) const uint OPERAND = 0;
// 0 identity, 1 sigmoid_beta, 2 swish_beta.
layout(constant_id = 2) const uint TRANSFER = 0;
layout(constant_id = 3) const uint OPTIONS = 0;
// One of several rules of a part (its file says which).
layout(constant_id = 4) const uint RULE = 0;
layout(constant_id = 5) const uint COST = 0;

layout(std430, binding = 0) readonly buffer Keys { float keys[]; };
layout(std430, binding = 1) buffer Slopes { float slopes[]; };
// dL/dtheta of each pair, of the objectives that have thresholds.
layout(std430, binding = 2) buffer ThetaSlopes { float theta_slopes[]; };
// For each row its share of the loss, then of the range's slope, then what a part has besides.
layout(std430, binding = 3) buffer Outcome { float outcome[]; };
layout(std430, binding = 4) readonly buffer Codes { uint codes[]; };
// Weight of each row over the number of rows.
layout(std430, binding = 5) readonly buffer Factors { float factors[]; };
// Class of each prototype, then the number of prototypes of each class.
layout(std430, binding = 6) readonly buffer Labels { uint labels[]; };
// Of the neighbourhood, for p prototypes: height and its slope by the range of each rank, then sums of heights and of slopes over
// the first m ranks (m = 0 .. p).
layout(std430, binding = 7) readonly buffer Neighbourhood { float neighbourhood[]; };
layout(std430, binding = 8) readonly buffer Thetas { float thetas[]; };
// Room for two numbers a pair.
layout(std430, binding = 9) buffer Room { float room[]; };
// What changes from step to step.
layout(std430, binding = 10) buffer Dynamic { float dynamic[]; };
// Rank of each prototype (ranks.comp), of the parts that want it.
layout(std430, binding = 11) readonly buffer Ranks { uint ranks[]; };

layout(push_constant) uniform Sizes {
    // Rows of the chunk, prototypes, words from one prototype's entries to the next's, number of the chunk's first row in the pass.
    uint n;
    uint p;
    uint stride;
    uint base;
    uint classes;
    uint target;
    float sigma;
    float margin;
    float beta;
    float lr_ratio;
    // Shape of a response, share of a representation.
    float shape;
    float alpha;
};
