// What a slab of rows pulls the prototypes with, in tiles of prototypes and features. The metric defines PULL(y, v, a), which is multiplied
// with the slope; with SQUARES also sum g e^2. The slab is the third coordinate of the workgroup.

BUFFER(8, writeonly, float, sums_);

float v_own[8][8];
#ifdef SQUARES
float squares[8][8];
#endif

#define R p
#define C l
#define Q_FIRST (gl_WorkGroupID.z * slab)
#define Q_END min((gl_WorkGroupID.z + 1u) * slab, n)
#define A_BY_Q
#define A_AT(q, r) (slopes[(r) * stride + (q)] * affine[p + (r)])
#define B_AT(q, c) y[(base + (q)) * ld + (c)]

#ifdef SQUARES
#define START(e, f, r, c) v_own[e][f] = v[(r) * l + (c)]; squares[e][f] = 0.0f
#define STEP(sum, g, x, q, e, f) { float t = x - v_own[e][f]; sum += g * t; squares[e][f] += g * t * t; }
#else
#define START(e, f, r, c) v_own[e][f] = v[(r) * l + (c)]
#define STEP(sum, g, x, q, e, f) sum += g * PULL(x, v_own[e][f])
#endif

FN void result(uint j, uint a, float sum, uint e, uint f) {
    uint cells = p * l;
#ifdef SQUARES
    sums_[gl_WorkGroupID.z * 2u * cells + j * l + a] = sum * own[a];
    sums_[(gl_WorkGroupID.z * 2u + 1u) * cells + j * l + a] = squares[e][f];
#else
    sums_[gl_WorkGroupID.z * cells + j * l + a] = sum;
#endif
}

#define RESULT(r, c, sum, e, f) result(r, c, sum, e, f)

#include "tile.glsl"
