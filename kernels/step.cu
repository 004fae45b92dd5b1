// The whole step of any cooperation and objective on squared distances of rows or of their projections (with RELEVANCE weighted ones): keys
// of a tile of rows against all prototypes by products on the tensor cores, ranks, objective and slopes, and what the rows pull the
// prototypes with, again by products. Where prototypes have maps of their own no two share a row's words, so there are no products: then
// distances and pulls are formed by differences. Keys and slopes of a tile are in shared memory only: X is read once, and no matrix of rows and
// prototypes is written. winners.cu does more for those of which only two prototypes of a row count.
//
//     D_ij = max(0, |x_i|^2 + |w_j|^2 - 2 x_i w_j)          key_ij = (D_ij + shift_j) scale_j, with G_ij = dL/dkey_ij
//     pull_j = scale_j (sum_i G_ij x_i - w_j sum_i G_ij)    of centred rows
//     push_i = sum_j scale_j G_ij (x_i - w_j)
//
// Losses, and all else that is summed over rows, are summed here too: a block leaves one set of sums (see `leave`).
//
// A block of four warps takes `tile` rows at a time, 16 for each of its 1, 2 or 4 warps that stand below each other. An invocation has one
// row in cooperation and objective: those are the texts of the shaders, whose matrices are here in shared memory, entry (i, j) at
// j * stride + i. Strides are such that the lanes of a warp meet different banks: 4 more than a multiple of 32 for matrices of rows and
// prototypes, 8 more for rows of features.
// target: compute_80
// entries: f32 tf32 bf16 f16

#if defined(ENTRY_f32)
#define OPERANDS Operand::F32
#elif defined(ENTRY_tf32)
#define OPERANDS Operand::Tf32
#elif defined(ENTRY_bf16)
#define OPERANDS Operand::Bf16
#else
#define OPERANDS Operand::F16
#endif

#define LVQ_BLOCKS 4

#include "include/glsl.h"
#include "include/mma.h"
#include "include/prepared.h"

LVQ_KERNEL_BEGIN

#include "../shaders/include/lvq.glsl"

LOCAL_SIZE(128);

CONSTANT(0, MAP, 0);
CONSTANT(1, OPERAND, 0);
CONSTANT(2, TRANSFER, 0);
CONSTANT(3, OPTIONS, 0);
CONSTANT(4, RULE, 0);
CONSTANT(5, COST, 0);
// Cooperation and objective.
CONSTANT(6, ROWS, 0);
CONSTANT(7, RELEVANCE, 0);
// All words of shared memory.
CONSTANT(8, WORDS, 64);

#define GLVQ 0u
#define LVQ1 1u
#define LVQ21 2u
#define RANKS_OWN 3u
#define CLASS_MINIMUM 4u
#define RANKS_EACH 5u
#define NLLR 6u
#define RSLVQ 7u
#define RSLVQ_RANKS 8u
#define HINGE 9u
#define ONE_CLASS_WINNER 10u
#define ONE_CLASS_WEIGHTED 11u
#define SVQ_OCC 12u

BUFFER(0, readonly, float, y);
BUFFER(1, readonly, float, prepared);
BUFFER(2, readonly, float, affine);
BUFFER(3, writeonly, float, losses);
BUFFER(4, readonly, uint, codes);
BUFFER(5, readonly, float, factors);
BUFFER(6, readonly, uint, all_labels);
BUFFER(7, readonly, float, neighbourhood);
BUFFER(8, readonly, float, thetas);
BUFFER(9, writeonly, float, h);
BUFFER(10, readonly, float, dynamic);
BUFFER(11, writeonly, float, sums);

PUSH_BEGIN
    uint n;
    uint p;
    uint stride;
    // Number of the first row in the pass: of the chunk, then of the tile.
    uint base;
    uint classes;
    uint target;
    float sigma;
    float margin;
    float beta;
    float lr_ratio;
    float shape;
    float alpha;
    uint l;
    uint ld;
    uint y_base;
    uint P;
    uint L;
    uint aligned;
    uint tile;
    // Words from one row of features to the next, and from one prototype's pulls to the next's.
    uint wide;
    uint pulled;
    // Rows of `room`.
    uint rooms;
    // Words of a block's set of sums.
    uint set;
    // 1: ranks within the class.
    uint within;
    // Who has a map: 0 nobody or all together, 1 each class, 2 each prototype. Then rows have the projections by all maps, ld words.
    uint mapped;
PUSH_END

// Bits of OPTIONS beside those of the shaders: pushes are wanted; so are the rows' losses; of the contrastive cost only the look at the
// rows; ranks are wanted; there are thresholds; sum_i g key is wanted; the objective is of ratios of distances.
#define PUSH 64u
#define LOSSES 128u
#define LOOK 256u
#define RANKED 512u
#define THRESHOLDS 1024u
#define PRODUCTS 2048u
#define RATIOS 4096u

#define OUTCOMES 6u

// In shared memory; the names are those of the shaders' buffers.
float* keys;
float* slopes;
float* theta_slopes;
float* outcome;
float* room;
uint* ranks;
uint* labels;

#include "../shaders/include/options.glsl"
#include "../shaders/include/map.glsl"
#include "../shaders/include/transfer.glsl"
#include "../shaders/include/posterior.glsl"
#include "../shaders/include/ranks.glsl"
#include "../shaders/include/count_ranks.glsl"
#include "../shaders/include/ranked_posterior.glsl"
#include "../shaders/include/winner.glsl"

#define pair pair_glvq
#include "../shaders/include/glvq.glsl"
#undef pair
#define pair pair_lvq1
#include "../shaders/include/lvq1.glsl"
#undef pair
#define pair pair_lvq21
#include "../shaders/include/lvq21.glsl"
#undef pair

FN void pair(bool has_plus, float a, bool has_minus, float b, float eps, OUT(float) loss, OUT(float) ga, OUT(float) gb) {
    if (ROWS == GLVQ) {
        pair_glvq(has_plus, a, has_minus, b, eps, loss, ga, gb);
    } else if (ROWS == LVQ1) {
        pair_lvq1(has_plus, a, has_minus, b, eps, loss, ga, gb);
    } else {
        pair_lvq21(has_plus, a, has_minus, b, eps, loss, ga, gb);
    }
}

#define row row_pair
#include "../shaders/include/winner_pair.glsl"
#undef row
#define row row_ranks_own
#include "../shaders/include/ranks_own.glsl"
#undef row
#define row row_class_minimum
#include "../shaders/include/class_minimum.glsl"
#undef row
#define row row_ranks_each
#include "../shaders/include/ranks_each.glsl"
#undef row
#define row row_nllr
#include "../shaders/include/nllr.glsl"
#undef row
#define row row_rslvq
#include "../shaders/include/rslvq_posterior.glsl"
#undef row
#define row row_rslvq_ranks
#include "../shaders/include/rslvq_posterior_ranks.glsl"
#undef row
#include "../shaders/include/reasoning.glsl"
#define row row_hinge
#include "../shaders/include/hinge.glsl"
#undef row
#include "../shaders/include/one_class.glsl"
#define row row_one_class_winner
#include "../shaders/include/one_class_winner.glsl"
#undef row
#define row row_one_class_weighted
#include "../shaders/include/one_class_weighted.glsl"
#undef row
#define row row_svq_occ
#include "../shaders/include/svq_occ.glsl"
#undef row

FN void row(uint i) {
    switch (ROWS) {
        case GLVQ:
        case LVQ1:
        case LVQ21: row_pair(i); break;
        case RANKS_OWN: row_ranks_own(i); break;
        case CLASS_MINIMUM: row_class_minimum(i); break;
        case RANKS_EACH: row_ranks_each(i); break;
        case NLLR: row_nllr(i); break;
        case RSLVQ: row_rslvq(i); break;
        case RSLVQ_RANKS: row_rslvq_ranks(i); break;
        case HINGE: row_hinge(i); break;
        case ONE_CLASS_WINNER: row_one_class_winner(i); break;
        case ONE_CLASS_WEIGHTED: row_one_class_weighted(i); break;
        default:
            if (option(LOOK)) {
                detect(i);
            } else {
                row_svq_occ(i);
            }
    }
}

static constexpr Operand O = OPERANDS;
using Taken = TakenBy<O>::type;

// Prototypes (or features) that a warp takes at a time, eights of them.
static constexpr uint NT = 4u;
// A distance of this share of |x|^2 + |w|^2 has lost five bits.
#define CANCELLED 0.03125f
// Terms after which the tensor cores' sums are gathered.
#define GATHERED 32u

static FN float4 row_terms(const float* from, uint at) { return *reinterpret_cast<const float4*>(from + at); }
// Four terms that are `apart` words from one another.
static FN float4 apart(const float* from, uint at, uint apart) {
    return make_float4(from[at], from[at + apart], from[at + 2u * apart], from[at + 3u * apart]);
}

// Words of a row that are wanted.
FN uint words() const { return mapped != 0u ? ld : l; }

FN void load(float* xs, uint r0) {
    const uint count = min(tile, n - r0);
    const uint own = words();
    const float* const from = y + size_t(y_base + r0) * ld;
    if (aligned != 0u) {
        const uint quads = own / 4u;
        for (uint e = threadIdx.x; e < tile * quads; e += LVQ_THREADS) {
            const uint r = e / quads;
            const uint a = e % quads * 4u;
            copy16(xs + r * wide + a, from + size_t(min(r, count - 1u)) * ld + a, r < count);
        }
    } else {
        for (uint e = threadIdx.x; e < tile * own; e += LVQ_THREADS) {
            const uint r = e / own;
            const uint a = e % own;
            copy4(xs + r * wide + a, from + size_t(min(r, count - 1u)) * ld + a, r < count);
        }
    }
    copies_begun();
    copies_done<0>();
}

// sum_a f_a (x_a - w_ja)^2
FN float by_differences(const float* x, uint j) const {
    const Prepared at(P, L);
    float sum = 0.0f;
    LVQ_ROLLED for (uint a = 0u; a < L; a += 4u) {
        const float4 v = row_terms(x, a);
        const float4 w = row_terms(prepared, at.rows + j * L + a);
        const float4 f = row_terms(prepared, at.weights + a);
        sum += f.x * (v.x - w.x) * (v.x - w.x);
        sum += f.y * (v.y - w.y) * (v.y - w.y);
        sum += f.z * (v.z - w.z) * (v.z - w.z);
        sum += f.w * (v.w - w.w) * (v.w - w.w);
    }
    return sum;
}

// Keys of the tile's rows against all prototypes.
FN void find_keys(const float* xs) {
    const Prepared at(P, L);
    const uint lane = threadIdx.x % 32u;
    const uint g = lane / 4u;
    const uint t = lane % 4u;
    const uint below = tile / 16u;
    const uint r = threadIdx.x / 32u % below * 16u + g;
    const uint steps = L / 16u;
    // |x|^2 of rows r and r + 8: four lanes share a row.
    float low = 0.0f;
    float high = 0.0f;
    for (uint q = 0u; q < steps; q++) {
        const float4 a = row_terms(xs, r * wide + 16u * q + 4u * t);
        const float4 b = row_terms(xs, (r + 8u) * wide + 16u * q + 4u * t);
        const float4 f = row_terms(prepared, at.weights + 16u * q + 4u * t);
        low += f.x * a.x * a.x + f.y * a.y * a.y + f.z * a.z * a.z + f.w * a.w * a.w;
        high += f.x * b.x * b.x + f.y * b.y * b.y + f.z * b.z * b.z + f.w * b.w * b.w;
    }
    LVQ_UNROLL for (int across = 1; across < 4; across *= 2) {
        low += __shfl_xor_sync(0xffffffffu, low, across);
        high += __shfl_xor_sync(0xffffffffu, high, across);
    }
    for (uint j0 = threadIdx.x / 32u / below * 8u * NT; j0 < P; j0 += 8u * NT * (4u / below)) {
        float d[1][NT][4];
        float part[1][NT][4];
        clear(d);
        clear(part);
        for (uint q = 0u; q < steps; q++) {
            RowOperand<O> x[1];
            ColumnOperand<O> w[NT];
            x[0].set(row_terms(xs, r * wide + 16u * q + 4u * t), row_terms(xs, (r + 8u) * wide + 16u * q + 4u * t));
            LVQ_UNROLL for (uint k = 0u; k < NT; k++) {
                // Beyond the last, those of the last again: their products are not looked at.
                const uint block = min(j0 / 8u + k, P / 8u - 1u);
                w[k].set(reinterpret_cast<const Taken*>(prepared)[(block * steps + q) * 32u + lane]);
            }
            multiply(part, x, w);
            if ((q + 1u) % (GATHERED / 16u) == 0u || q + 1u == steps) {
                gather(d, part);
            }
        }
        LVQ_UNROLL for (uint k = 0u; k < NT; k++) {
            LVQ_UNROLL for (uint e = 0u; e < 4u; e++) {
                const uint j = j0 + 8u * k + 2u * t + e % 2u;
                if (j < p) {
                    const uint own = r + 8u * (e / 2u);
                    const float square = (e < 2u ? low : high) + prepared[at.norms + j];
                    float distance = max(square - 2.0f * d[0][k][e], 0.0f);
                    // Ratios see how much of a small distance has cancelled: such a one is formed again.
                    if (option(RATIOS) && distance < CANCELLED * square) {
                        distance = by_differences(xs + own * wide, j);
                    }
                    keys[j * stride + own] = (distance + affine[j]) * affine[p + j];
                }
            }
        }
    }
}

// Where the words of prototype j begin in a row.
FN uint offset(uint j) const { return mapped == 0u ? 0u : (mapped == 1u ? labels[j] : j) * l; }

// The same where prototypes have maps of their own.
FN void find_keys_of_maps(const float* xs) const {
    const Prepared at(P, L);
    for (uint e = threadIdx.x; e < tile * p; e += LVQ_THREADS) {
        const uint i = e % tile;
        const uint j = e / tile;
        const float* const x = xs + i * wide + offset(j);
        const float* const w = prepared + at.rows + j * L;
        float sum = 0.0f;
        for (uint a = 0u; a < l; a++) {
            const float t = x[a] - w[a];
            sum += t * t;
        }
        keys[j * stride + i] = (sum + affine[j]) * affine[p + j];
    }
}

// From keys to losses and slopes.
FN void judge(uint count) {
    const uint t = threadIdx.x;
    if (option(RANKED)) {
        for (uint e = t; e < tile * ((p + 7u) / 8u); e += LVQ_THREADS) {
            count_ranks(e % tile, e / tile * 8u);
        }
        __syncthreads();
    }
    if (ROWS == HINGE) {
        for (uint e = t; e < tile * p; e += LVQ_THREADS) {
            detect(e % tile, e / tile);
        }
        __syncthreads();
        for (uint e = t; e < tile * classes; e += LVQ_THREADS) {
            score(e % tile, e / tile);
        }
        __syncthreads();
    }
    if (t < count) {
        row(t);
    } else if (t < tile && option(GRADIENT)) {
        for (uint j = 0u; j < p; j++) {
            slopes[j * stride + t] = 0.0f;
        }
        if (option(THRESHOLDS)) {
            for (uint j = 0u; j < p; j++) {
                theta_slopes[j * stride + t] = 0.0f;
            }
        }
        if (ROWS == HINGE) {
            for (uint c = 0u; c < 2u * classes; c++) {
                room[c * stride + t] = 0.0f;
            }
        }
    }
    if (ROWS == HINGE && option(GRADIENT)) {
        __syncthreads();
        for (uint e = t; e < tile * p; e += LVQ_THREADS) {
            slope(e % tile, e / tile);
        }
    }
    __syncthreads();
}

// sum_j scale_j G_ij of each row.
FN void add_rows(float* row_sums) {
    if (threadIdx.x < tile) {
        float sum = 0.0f;
        for (uint j = 0u; j < p; j++) {
            sum += affine[p + j] * slopes[j * stride + threadIdx.x];
        }
        row_sums[threadIdx.x] = sum;
    }
}

// sum_i a_i b_i over the tile's rows of two columns.
FN float cross(const float* a, const float* b) {
    float sum = 0.0f;
    for (uint i = 0u; i < tile; i += 4u) {
        const float4 v = row_terms(a, i);
        const float4 w = row_terms(b, i);
        sum += v.x * w.x + v.y * w.y + v.z * w.z + v.w * w.w;
    }
    return sum;
}
FN float total(const float* a) {
    float sum = 0.0f;
    for (uint i = 0u; i < tile; i += 4u) {
        const float4 v = row_terms(a, i);
        sum += v.x + v.y + v.z + v.w;
    }
    return sum;
}

// Sums of each prototype over the tile's rows: of G, of G keys, of the thresholds' slopes, in `columns` one after another; and of the
// reasonings (see sum.cross): dN_c S_j, then dN and dN P.
FN void add_columns(float* columns, float* reasoning) {
    for (uint j = threadIdx.x; j < p; j += LVQ_THREADS) {
        columns[j] += total(slopes + j * stride);
        if (option(PRODUCTS)) {
            columns[p + j] += cross(slopes + j * stride, keys + j * stride);
        }
        if (option(THRESHOLDS)) {
            columns[2u * p + j] += total(theta_slopes + j * stride);
        }
    }
    if (ROWS == HINGE) {
        for (uint e = threadIdx.x; e < p * classes; e += LVQ_THREADS) {
            reasoning[e] += cross(room + (2u * classes + e / classes) * stride, room + e % classes * stride);
        }
        for (uint c = threadIdx.x; c < 2u * classes; c += LVQ_THREADS) {
            reasoning[p * classes + c] += total(room + c * stride);
        }
    }
}

// Adds a warp's sums of 16 x 8 NT results where row r and column c of `to` begin.
static FN void add_to(float* to, const float (&d)[1][NT][4], uint apart) {
    const uint g = threadIdx.x % 32u / 4u;
    const uint t = threadIdx.x % 4u;
    LVQ_UNROLL for (uint k = 0u; k < NT; k++) {
        LVQ_UNROLL for (uint b = 0u; b < 2u; b++) {
            float2* const at = reinterpret_cast<float2*>(to + (g + 8u * b) * apart + 8u * k + 2u * t);
            float2 sum = *at;
            sum.x += d[0][k][2u * b];
            sum.y += d[0][k][2u * b + 1u];
            *at = sum;
        }
    }
}

// sum_i G_ij x_i. A warp owns 16 prototypes by 32 features at a time: nobody else writes those sums.
FN void pull(const float* xs, float* pulls) {
    const uint lane = threadIdx.x % 32u;
    const uint g = lane / 4u;
    const uint t = lane % 4u;
    const uint across = (L + 8u * NT - 1u) / (8u * NT);
    for (uint e = threadIdx.x / 32u; e < P / 16u * across; e += 4u) {
        const uint j0 = e / across * 16u;
        const uint c0 = e % across * 8u * NT;
        float d[1][NT][4];
        float part[1][NT][4];
        clear(d);
        clear(part);
        for (uint i0 = 0u; i0 < tile; i0 += 16u) {
            RowOperand<O> a[1];
            ColumnOperand<O> x[NT];
            a[0].set(apart(slopes, (j0 + g) * stride + i0 + t, 4u), apart(slopes, (j0 + g + 8u) * stride + i0 + t, 4u));
            LVQ_UNROLL for (uint k = 0u; k < NT; k++) {
                x[k].set(apart(xs, (i0 + t) * wide + c0 + 8u * k + g, 4u * wide));
            }
            multiply(part, a, x);
            if ((i0 + 16u) % GATHERED == 0u || i0 + 16u == tile) {
                gather(d, part);
            }
        }
        add_to(pulls + j0 * pulled + c0, d, pulled);
    }
}

// sum_i G_ij (x_i - w_j), where prototypes have maps of their own. A thread owns its sums.
FN void pull_of_maps(const float* xs, float* pulls) const {
    const Prepared at(P, L);
    for (uint e = threadIdx.x; e < p * l; e += LVQ_THREADS) {
        const uint j = e / l;
        const uint a = e % l;
        const float w = prepared[at.rows + j * L + a];
        const float* const x = xs + offset(j) + a;
        float sum = 0.0f;
        for (uint i = 0u; i < tile; i++) {
            sum += slopes[j * stride + i] * (x[i * wide] - w);
        }
        pulls[j * pulled + a] += sum;
    }
}

// scale_j G_ij (x_i - w_j) of each row and map, over the prototypes that have it.
FN void push_of_maps(const float* xs, uint count, uint r0) const {
    const Prepared at(P, L);
    for (uint e = threadIdx.x; e < count * ld; e += LVQ_THREADS) {
        const uint r = e / ld;
        const uint c = e % ld;
        const uint m = c / l;
        const float x = xs[r * wide + c];
        float sum = 0.0f;
        for (uint j = mapped == 2u ? m : 0u; j < (mapped == 2u ? m + 1u : p); j++) {
            if (mapped == 2u || labels[j] == m) {
                sum += affine[p + j] * slopes[j * stride + r] * (x - prepared[at.rows + j * L + c % l]);
            }
        }
        h[size_t(r0 + r) * ld + c] = sum;
    }
}

// sum_j scale_j G_ij (x_i - w_j) of each row.
FN void push(const float* xs, const float* row_sums, uint count, uint r0) {
    const Prepared at(P, L);
    const float* const w = prepared + at.rows;
    const uint lane = threadIdx.x % 32u;
    const uint g = lane / 4u;
    const uint t = lane % 4u;
    const uint across = (L + 8u * NT - 1u) / (8u * NT);
    for (uint e = threadIdx.x / 32u; e < tile / 16u * across; e += 4u) {
        const uint i0 = e / across * 16u;
        const uint c0 = e % across * 8u * NT;
        float d[1][NT][4];
        float part[1][NT][4];
        clear(d);
        clear(part);
        for (uint j0 = 0u; j0 < P; j0 += 16u) {
            RowOperand<O> a[1];
            ColumnOperand<O> v[NT];
            const float4 scale = scales(j0 + t);
            a[0].set(times(apart(slopes, (j0 + t) * stride + i0 + g, 4u * stride), scale),
                     times(apart(slopes, (j0 + t) * stride + i0 + g + 8u, 4u * stride), scale));
            LVQ_UNROLL for (uint k = 0u; k < NT; k++) {
                // What stands behind the last feature is read for columns that are not looked at.
                v[k].set(apart(w, (j0 + t) * L + c0 + 8u * k + g, 4u * L));
            }
            multiply(part, a, v);
            if ((j0 + 16u) % GATHERED == 0u || j0 + 16u == P) {
                gather(d, part);
            }
        }
        LVQ_UNROLL for (uint k = 0u; k < NT; k++) {
            LVQ_UNROLL for (uint b = 0u; b < 4u; b++) {
                const uint r = i0 + g + 8u * (b / 2u);
                const uint c = c0 + 8u * k + 2u * t + b % 2u;
                if (r < count && c < l) {
                    h[size_t(r0 + r) * l + c] = row_sums[r] * xs[r * wide + c] - d[0][k][b];
                }
            }
        }
    }
}
// Of prototypes j, j + 4, j + 8, j + 12.
FN float4 scales(uint j) {
    return make_float4(scale(j), scale(j + 4u), scale(j + 8u), scale(j + 12u));
}
FN float scale(uint j) { return j < p ? affine[p + j] : 0.0f; }
static FN float4 times(const float4& a, const float4& b) {
    return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}

// The block's set of sums: of pulls, p x l; with RELEVANCE as many of squares, sum_i G_ij (x_ia - w_ja)^2 = sum_i G_ij x_ia^2
// - 2 w_ja sum_i G_ij x_ia + w_ja^2 sum_i G_ij, where the first of these for all prototypes stands in the row of prototype 0;
// of outcomes; of `columns`, 3 p; of reasonings, p x classes and 2 classes.
FN void leave(const float* pulls, const float* squares, const float* outcomes, const float* columns, const float* reasoning) {
    const Prepared at(P, L);
    float* to = sums + blockIdx.x * set;
    const uint cells = option(GRADIENT) ? p * l : 0u;
    for (uint e = threadIdx.x; e < cells; e += LVQ_THREADS) {
        const uint j = e / l;
        const uint a = e % l;
        const float f = affine[p + j];
        const float sum = pulls[j * pulled + a];
        // Differences have been summed already.
        const float w = mapped != 0u ? 0.0f : prepared[at.rows + j * L + a];
        to[e] = f * (sum - w * columns[j]) * (RELEVANCE != 0u ? prepared[at.weights + a] : 1.0f);
        if (RELEVANCE != 0u) {
            to[cells + e] = f * w * (w * columns[j] - 2.0f * sum) + (j == 0u ? squares[a] : 0.0f);
        }
    }
    to += (RELEVANCE != 0u ? 2u : 1u) * p * l;
    if (threadIdx.x < OUTCOMES) {
        to[threadIdx.x] = total(outcomes + threadIdx.x * stride);
    }
    to += OUTCOMES;
    if (option(GRADIENT)) {
        for (uint e = threadIdx.x; e < 3u * p; e += LVQ_THREADS) {
            to[e] = columns[e];
        }
        if (ROWS == HINGE) {
            for (uint e = threadIdx.x; e < (p + 2u) * classes; e += LVQ_THREADS) {
                to[3u * p + e] = reasoning[e];
            }
        }
    }
}

FN void main() {
    const bool gradient = option(GRADIENT);
    const uint rows = n;
    const uint first = base;
    const uint t = threadIdx.x;
    float* const xs = shared_words<float>(tile * wide);
    keys = shared_words<float>(p * stride);
    // Where components are detected also the scores of the classes.
    outcome = shared_words<float>((ROWS == HINGE ? max(OUTCOMES, classes) : OUTCOMES) * stride);
    float* const outcomes = shared_words<float>(OUTCOMES * stride);
    room = shared_words<float>(rooms * stride);
    ranks = shared_words<uint>(option(RANKED) ? p * stride : 0u);
    labels = shared_words<uint>((p + classes + 3u) / 4u * 4u);
    // With a gradient.
    slopes = shared_words<float>(gradient ? P * stride : 0u);
    theta_slopes = shared_words<float>(gradient && option(THRESHOLDS) ? p * stride : 0u);
    float* const pulls = shared_words<float>(gradient ? P * pulled : 0u);
    float* const squares = shared_words<float>(gradient && RELEVANCE != 0u ? wide : 0u);
    float* const row_sums = shared_words<float>(gradient ? tile : 0u);
    float* const columns = shared_words<float>(gradient ? 3u * p : 0u);
    float* const reasoning = shared_words<float>(gradient && ROWS == HINGE ? (p + 2u) * classes : 0u);
    // All begins as zeros: columns of features that are not there, slopes of prototypes that are not there, sums.
    for (uint e = t; e < WORDS; e += LVQ_THREADS) {
        xs[e] = 0.0f;
    }
    __syncthreads();
    for (uint j = t; j < p + classes; j += LVQ_THREADS) {
        labels[j] = all_labels[j];
    }
    for (uint r0 = blockIdx.x * tile; r0 < rows; r0 += gridDim.x * tile) {
        const uint count = min(tile, rows - r0);
        base = first + r0;
        load(xs, r0);
        __syncthreads();
        if (mapped != 0u) {
            find_keys_of_maps(xs);
        } else {
            find_keys(xs);
        }
        __syncthreads();
        judge(count);
        if (t < count) {
            for (uint c = 0u; c < OUTCOMES; c++) {
                outcomes[c * stride + t] += outcome[c * stride + t];
            }
            if (option(LOSSES)) {
                losses[r0 + t] = outcome[t];
            }
        }
        if (gradient) {
            add_columns(columns, reasoning);
            if (mapped != 0u) {
                pull_of_maps(xs, pulls);
                if (option(PUSH)) {
                    push_of_maps(xs, count, r0);
                }
            } else {
                pull(xs, pulls);
            }
            if (mapped == 0u && (RELEVANCE != 0u || option(PUSH))) {
                add_rows(row_sums);
                __syncthreads();
            }
            if (RELEVANCE != 0u) {
                for (uint a = t; a < l; a += LVQ_THREADS) {
                    float sum = 0.0f;
                    for (uint i = 0u; i < tile; i++) {
                        const float x = xs[i * wide + a];
                        sum += row_sums[i] * x * x;
                    }
                    squares[a] += sum;
                }
            }
            if (mapped == 0u && option(PUSH)) {
                push(xs, row_sums, count, r0);
            }
        }
        __syncthreads();
    }
    leave(pulls, squares, outcomes, columns, reasoning);
}

LVQ_KERNEL_END
