// The buffers of a pass over rows: from the keys of a chunk of rows to losses and slopes. An invocation has one row.
//
// Matrices with an entry for each prototype and row lie prototype by prototype: entry (i, j) at j * stride + i, so that
// neighbouring invocations read neighbouring words.

#include "lvq.glsl"

LOCAL_SIZE(64);

// What distance a key stands for: 0 itself, 1 -2 expm1(-key), 2 exp(key).
CONSTANT(0, MAP, 0);
CONSTANT(1, OPERAND, 0);
// 0 identity, 1 sigmoid_beta, 2 swish_beta.
CONSTANT(2, TRANSFER, 0);
CONSTANT(3, OPTIONS, 0);
// One of several rules of a part (its file says which).
CONSTANT(4, RULE, 0);
CONSTANT(5, COST, 0);

BUFFER(0, readonly, float, keys);
BUFFER(1, READ_WRITE, float, slopes);
// dL/dtheta of each pair, of the objectives that have thresholds.
BUFFER(2, READ_WRITE, float, theta_slopes);
// For each row its share of the loss, then of the range's slope, then what a part has besides.
BUFFER(3, READ_WRITE, float, outcome);
BUFFER(4, readonly, uint, codes);
// Weight of each row over the number of rows.
BUFFER(5, readonly, float, factors);
// Class of each prototype, then the number of prototypes of each class.
BUFFER(6, readonly, uint, labels);
// Of the neighbourhood, for p prototypes: height and its slope by the range of each rank, then sums of heights and of slopes over
// the first m ranks (m = 0 .. p).
BUFFER(7, readonly, float, neighbourhood);
BUFFER(8, readonly, float, thetas);
// Room for two numbers a pair.
BUFFER(9, READ_WRITE, float, room);
// What changes from step to step.
BUFFER(10, READ_WRITE, float, dynamic);
// Rank of each prototype (ranks.comp), of the parts that want it.
BUFFER(11, readonly, uint, ranks);

PUSH_BEGIN
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
PUSH_END
