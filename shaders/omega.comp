// Linear maps (src/parts/metric/omega.rs, class_omega.rs, local_omega.rs): one map for all prototypes, one a class, or one a prototype.
// The distance itself is squared_euclidean on projections.
//
// `project`: rows through all maps side by side, n x (maps l). `own`: each prototype through its own map, p x l.
// `push`: what the prototypes push a row's projections with, H[i, m l + k] = sum over the prototypes of map m of g_ij (y - v).
// `outer`: X^T H over a slab of rows, d x (maps l). `prototypes`, `maps`: gradients from dV = c P (+ b_j V_j):
// dW = dV Omega^T, dOmega_m = f X^T H + sum over its prototypes of w_j dV_j^T.
//
// The three products over rows have a second form in tiles, for one map.
// entries: project own push outer prototypes maps project_tile push_tile outer_tile

#include "lvq.glsl"

#if !defined(ENTRY_project_tile) && !defined(ENTRY_push_tile) && !defined(ENTRY_outer_tile)
LOCAL_SIZE(64);
#endif

CONSTANT(1, OPERAND, 0);

PUSH_BEGIN
    uint n;
    uint p;
    uint stride;
    uint base;
    uint d;
    uint l;
    uint maps;
    // Rows of a slab.
    uint slab;
    // c and f
    float c;
    float f;
PUSH_END

#if defined(ENTRY_project)

BUFFER(0, readonly, float, x);
BUFFER(1, readonly, float, omegas);
BUFFER(2, writeonly, float, y);

FN void main() {
    uint cells = maps * l;
    for (uint e = gl_GlobalInvocationID.x; e < n * cells; e += gl_NumWorkGroups.x * 64u) {
        uint i = e / cells;
        uint m = e % cells / l;
        uint k = e % l;
        float sum = 0.0f;
        for (uint a = 0u; a < d; a++) {
            sum += x[(base + i) * d + a] * omegas[(m * d + a) * l + k];
        }
        y[i * cells + m * l + k] = rounded(sum, OPERAND);
    }
}

#elif defined(ENTRY_project_tile)

BUFFER(0, readonly, float, x_);
BUFFER(1, readonly, float, omegas);
BUFFER(2, writeonly, float, y);

// Column c is column c % l of map c / l.
#define R n
#define C (maps * l)
#define Q_FIRST 0u
#define Q_END d
#define A_BY_Q
#define A_AT(q, r) x_[(base + (r)) * d + (q)]
#define B_AT(q, c) omegas[((c) / l * d + (q)) * l + (c) % l]
#define STEP(sum, a, b, q, e, f) sum += a * b
#define RESULT(r, c, sum, e, f) y[(r) * maps * l + (c)] = rounded(sum, OPERAND)

#include "tile.glsl"

#elif defined(ENTRY_push_tile)

BUFFER(0, readonly, float, y);
BUFFER(1, readonly, float, v);
BUFFER(2, readonly, float, affine);
BUFFER(3, readonly, uint, offsets);
BUFFER(4, readonly, float, slopes);
BUFFER(5, writeonly, float, h);

float y_own[8][8];

#define R n
#define C l
#define Q_FIRST 0u
#define Q_END p
#define A_AT(q, r) (slopes[(q) * stride + (r)] * affine[p + (q)])
#define B_AT(q, c) v[(q) * l + (c)]
#define START(e, f, r, c) y_own[e][f] = y[(r) * l + (c)]
#define STEP(sum, a, b, q, e, f) sum += a * (y_own[e][f] - b)
#define RESULT(r, c, sum, e, f) h[(r) * l + (c)] = sum

#include "tile.glsl"

#elif defined(ENTRY_outer_tile)

BUFFER(0, readonly, float, x_);
BUFFER(1, readonly, float, h);
BUFFER(2, writeonly, float, sums_);

#define R d
#define C (maps * l)
#define Q_FIRST (gl_WorkGroupID.z * slab)
#define Q_END min((gl_WorkGroupID.z + 1u) * slab, n)
#define A_AT(q, r) x_[(base + (q)) * d + (r)]
#define B_AT(q, c) h[(q) * maps * l + (c)]
#define STEP(sum, a, b, q, e, f) sum += a * b
#define RESULT(r, c, sum, e, f) sums_[gl_WorkGroupID.z * d * maps * l + (r) * maps * l + (c)] = sum

#include "tile.glsl"

#elif defined(ENTRY_own)

BUFFER(0, readonly, float, w);
BUFFER(1, readonly, float, omegas);
BUFFER(2, writeonly, float, v);
BUFFER(3, readonly, uint, offsets);

FN void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * l; e += gl_NumWorkGroups.x * 64u) {
        uint j = e / l;
        uint k = e % l;
        uint m = offsets[j] / l;
        float sum = 0.0f;
        for (uint a = 0u; a < d; a++) {
            sum += w[j * d + a] * omegas[(m * d + a) * l + k];
        }
        v[e] = rounded(sum, OPERAND);
    }
}

#elif defined(ENTRY_push)

BUFFER(0, readonly, float, y);
BUFFER(1, readonly, float, v);
BUFFER(2, readonly, float, affine);
BUFFER(3, readonly, uint, offsets);
BUFFER(4, readonly, float, slopes);
BUFFER(5, writeonly, float, h);

FN void main() {
    uint cells = maps * l;
    for (uint e = gl_GlobalInvocationID.x; e < n * cells; e += gl_NumWorkGroups.x * 64u) {
        uint i = e / cells;
        uint at = e % cells;
        uint k = at % l;
        // With a map a prototype there is one prototype to look at.
        uint first = maps == p ? at / l : 0u;
        uint end = maps == p ? first + 1u : p;
        float sum = 0.0f;
        for (uint j = first; j < end; j++) {
            float g = slopes[j * stride + i];
            if (g != 0.0f && offsets[j] == at - k) {
                sum += g * affine[p + j] * (y[i * cells + at] - v[j * l + k]);
            }
        }
        h[e] = sum;
    }
}

#elif defined(ENTRY_outer)

BUFFER(0, readonly, float, x);
BUFFER(1, readonly, float, h);
BUFFER(2, writeonly, float, sums);

FN void main() {
    uint cells = maps * l;
    uint first = gl_WorkGroupID.y * slab;
    uint end = min(first + slab, n);
    for (uint e = gl_GlobalInvocationID.x; e < d * cells; e += gl_NumWorkGroups.x * 64u) {
        uint a = e / cells;
        uint at = e % cells;
        float sum = 0.0f;
        for (uint i = first; i < end; i++) {
            sum += x[(base + i) * d + a] * h[i * cells + at];
        }
        sums[gl_WorkGroupID.y * d * cells + e] = sum;
    }
}

#else

BUFFER(0, readonly, float, pulls);
BUFFER(1, readonly, float, omegas);
BUFFER(2, readonly, uint, offsets);
BUFFER(3, readonly, float, dynamic);
BUFFER(4, readonly, float, v);
// b_j, all 0 for most metrics.
BUFFER(5, readonly, float, b);
BUFFER(6, writeonly, float, gradient);

FN float dv(uint j, uint k) {
    return c * pulls[j * l + k] + b[j] * v[j * l + k];
}

#ifdef ENTRY_prototypes

FN void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * d; e += gl_NumWorkGroups.x * 64u) {
        uint j = e / d;
        uint a = e % d;
        uint m = offsets[j] / l;
        float sum = 0.0f;
        for (uint k = 0u; k < l; k++) {
            sum += dv(j, k) * omegas[(m * d + a) * l + k];
        }
        gradient[e] = sum / dynamic[0];
    }
}

#else

BUFFER(7, readonly, float, outer);
BUFFER(8, readonly, float, w);

FN void main() {
    for (uint e = gl_GlobalInvocationID.x; e < maps * d * l; e += gl_NumWorkGroups.x * 64u) {
        uint m = e / (d * l);
        uint a = e / l % d;
        uint k = e % l;
        float sum = f * outer[a * maps * l + m * l + k];
        uint first = maps == p ? m : 0u;
        uint end = maps == p ? m + 1u : p;
        for (uint j = first; j < end; j++) {
            if (offsets[j] == m * l) {
                sum += w[j * d + a] * dv(j, k);
            }
        }
        gradient[e] = sum / dynamic[0];
    }
}

#endif

#endif
