// The whole step of any cooperation, objective and metric: keys of a tile of rows against all prototypes, ranks, objective and slopes, and
// what the rows pull the prototypes and the maps with. Keys and slopes of a tile are in shared memory only: X is read once, and no matrix
// of rows and prototypes is written. winners.cu does more for those of which only two prototypes of a row count.
//
//     y_i = x_i Omega, with PROJECT; else rows come as they are compared: as x_i, or projected before
//     D_ij = max(0, |y_i|^2 + |w_j|^2 - 2 y_i w_j)          key_ij = (D_ij + shift_j) scale_j, with G_ij = dL/dkey_ij
//     pull_j = scale_j (sum_i G_ij y_i - w_j sum_i G_ij)    of centred rows
//     push_i = sum_j scale_j G_ij (y_i - w_j)
//     outer = sum_i x_i push_i^T
//
// All of these are products on the tensor cores where the metric is the squared Euclidean distance of rows or of their projections by one
// map, or a weighted one. Where prototypes have maps of their own no two share a row's words, and other metrics are no products: then
// distances, pulls and pushes are formed by differences, by the texts of the metrics' shaders: the entry `differences`.
//
// Losses, and all else that is summed over rows, are summed here too: a block leaves one set of sums (see `leave`).
//
// A block of four warps takes `tile` rows at a time, 16 for each of its 1, 2 or 4 warps that stand below each other. An invocation has one
// row in cooperation and objective: those are the texts of the shaders, whose matrices are here in shared memory, entry (i, j) at
// j * stride + i. Strides are such that the lanes of a warp meet different banks: 4 more than a multiple of 32 for matrices of rows and
// prototypes, 8 more for rows of operands, odd for rows of which differences are taken.
// target: compute_80
// entries: f32 tf32 bf16 f16 differences

#if defined(ENTRY_f32) || defined(ENTRY_differences)
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
CONSTANT(7, METRIC, 0);
// All words of shared memory.
CONSTANT(8, WORDS, 64);

#define SQUARED 0u
#define RELEVANCE 1u
#define EUCLIDEAN 2u
#define MANHATTAN 3u
#define LP 4u
#define CHEBYSHEV 5u
#define COSINE 6u
#define EXPONENTIAL 7u
#define TANGENT 8u

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
// With PROJECT.
BUFFER(12, readonly, float, maps);
// Projected prototypes, each by its own basis; of tangent distances.
BUFFER(13, readonly, float, projected);

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
    // Exponent of Lp; columns of a basis.
    float power;
    // With PROJECT, words of a row of X, from one such row to the next in shared memory, and from one feature's row of `outer` to the next.
    uint d;
    uint across;
    uint crossed;
PUSH_END

// Bits of OPTIONS beside those of the shaders: pushes are wanted; so are the rows' losses; of the contrastive cost only the look at the
// rows; ranks are wanted; there are thresholds; sum_i g key is wanted; the objective is of ratios of distances; rows are projected here.
#define PUSH 64u
#define LOSSES 128u
#define LOOK 256u
#define RANKED 512u
#define THRESHOLDS 1024u
#define PRODUCTS 2048u
#define RATIOS 4096u
#define PROJECT 8192u

#define OUTCOMES 6u

// In shared memory; the names are those of the shaders' buffers.
float* keys;
float* slopes;
float* theta_slopes;
float* outcome;
float* room;
uint* ranks;
uint* labels;
float* raw;
float* more;
// The rows as they are compared, and their words from one to the next; their projections.
float* xs;
float* ys;
uint compared;

FN uint basis_columns() const { return uint(power); }

// Where the words of prototype j begin in a row: tangent distances compare the rows themselves.
FN uint offset(uint j) const { return mapped == 0u || METRIC == TANGENT ? 0u : (mapped == 1u ? labels[j] : j) * l; }
FN float y_at(uint i, uint j, uint a) const { return xs[i * compared + offset(j) + a]; }
FN float v_at(uint j, uint a) const { return prepared[Prepared(P, L).rows + j * L + a]; }
FN float difference(uint i, uint j, uint a) const { return y_at(i, j, a) - v_at(j, a); }
FN float basis(uint j, uint a, uint k) const { return maps[(j * l + a) * basis_columns() + k]; }
// The prototype's own projection has been subtracted already.
FN float coefficient(uint i, uint j, uint k) const { return ys[i * wide + j * basis_columns() + k]; }

// What a distance leaves for the backward products.
float raw_;
float more_;

#define DISTANCES
#define PULLS
#define TURNS
#define distance distance_squared
#define pull pull_squared
#include "../shaders/include/squared_euclidean.glsl"
#undef distance
#undef pull
#define distance distance_euclidean
#define pull pull_euclidean
#include "../shaders/include/euclidean.glsl"
#undef distance
#undef pull
#define distance distance_manhattan
#define pull pull_manhattan
#include "../shaders/include/manhattan.glsl"
#undef distance
#undef pull
#define distance distance_lp
#define pull pull_lp
#include "../shaders/include/lp.glsl"
#undef distance
#undef pull
#define distance distance_chebyshev
#define pull pull_chebyshev
#include "../shaders/include/chebyshev.glsl"
#undef distance
#undef pull
#define distance distance_cosine
#define pull pull_cosine
#define turn turn_cosine
#include "../shaders/include/cosine.glsl"
#undef distance
#undef pull
#undef turn
#define distance distance_exponential
#define turn turn_exponential
#include "../shaders/include/exponential.glsl"
#undef distance
#undef turn
#define distance distance_tangent
#include "../shaders/include/tangent.glsl"
#undef distance

FN float distance(uint i, uint j) {
    switch (METRIC) {
        case EUCLIDEAN: return distance_euclidean(i, j);
        case MANHATTAN: return distance_manhattan(i, j);
        case LP: return distance_lp(i, j);
        case CHEBYSHEV: return distance_chebyshev(i, j);
        case COSINE: return distance_cosine(i, j);
        case EXPONENTIAL: return distance_exponential(i, j);
        case TANGENT: return distance_tangent(i, j);
        default: return distance_squared(i, j);
    }
}

FN float pull(uint i, uint j, uint a, float g) {
    switch (METRIC) {
        case EUCLIDEAN: return pull_euclidean(i, j, a, g);
        case MANHATTAN: return pull_manhattan(i, j, a, g);
        case LP: return pull_lp(i, j, a, g);
        case CHEBYSHEV: return pull_chebyshev(i, j, a, g);
        case COSINE: return pull_cosine(i, j, a, g);
        default: return pull_squared(i, j, a, g);
    }
}

// What distances keep: nothing, themselves, or more than that.
FN bool keeps_raw() const { return METRIC == EUCLIDEAN || METRIC == LP || keeps_more(); }
FN bool keeps_more() const { return METRIC == CHEBYSHEV || keeps_factors(); }
// Slopes become factors, of which one multiplies the prototype.
FN bool keeps_factors() const { return by_differences() && (METRIC == COSINE || METRIC == EXPONENTIAL); }
// Whether distances are formed by differences.
#ifdef ENTRY_differences
static FN bool by_differences() { return true; }
#else
static FN bool by_differences() { return false; }
#endif

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

// Rows to shared memory, `apart` words from one to the next.
FN void load(float* to, uint apart, uint r0) {
    const uint count = min(tile, n - r0);
    const uint own = option(PROJECT) ? d : ld;
    const float* const from = y + size_t(y_base + r0) * own;
    if (aligned != 0u) {
        const uint quads = own / 4u;
        for (uint e = threadIdx.x; e < tile * quads; e += LVQ_THREADS) {
            const uint r = e / quads;
            const uint a = e % quads * 4u;
            copy16(to + r * apart + a, from + size_t(min(r, count - 1u)) * own + a, r < count);
        }
    } else {
        for (uint e = threadIdx.x; e < tile * own; e += LVQ_THREADS) {
            const uint r = e / own;
            const uint a = e % own;
            copy4(to + r * apart + a, from + size_t(min(r, count - 1u)) * own + a, r < count);
        }
    }
    copies_begun();
    copies_done<0>();
}

// Column c of all maps side by side: where its first term is. Terms are l words apart, of bases as many as they have columns.
FN const float* column_of_maps(uint c, uint columns) const { return maps + size_t(c / columns) * d * columns + c % columns; }

// Rows through all maps. A warp forms 16 rows by 32 columns at a time. Not in the precision of the operands: that of the maps is f32's.
FN void project(const float* features) {
    const uint lane = threadIdx.x % 32u;
    const uint g = lane / 4u;
    const uint t = lane % 4u;
    const uint columns = METRIC == TANGENT ? basis_columns() : l;
    const uint blocks = (ld + 8u * NT - 1u) / (8u * NT);
    const uint steps = (d + 15u) / 16u;
    for (uint e = threadIdx.x / 32u; e < tile / 16u * blocks; e += 4u) {
        const uint r = e / blocks * 16u + g;
        const uint c0 = e % blocks * 8u * NT;
        float sums[1][NT][4];
        float part[1][NT][4];
        clear(sums);
        clear(part);
        LVQ_ROLLED for (uint q = 0u; q < steps; q++) {
            const uint a = 16u * q + 4u * t;
            RowOperand<Operand::F32> x[1];
            ColumnOperand<Operand::F32> w[NT];
            x[0].set(row_terms(features, r * across + a), row_terms(features, (r + 8u) * across + a));
            LVQ_UNROLL for (uint k = 0u; k < NT; k++) {
                // Beyond the last column and term, those of the last again: their products are not looked at, or with zeros.
                const float* const from = column_of_maps(min(c0 + 8u * k + g, ld - 1u), columns);
                w[k].set(make_float4(from[min(a, d - 1u) * columns], from[min(a + 1u, d - 1u) * columns],
                                     from[min(a + 2u, d - 1u) * columns], from[min(a + 3u, d - 1u) * columns]));
            }
            multiply(part, x, w);
            if ((q + 1u) % (GATHERED / 16u) == 0u || q + 1u == steps) {
                gather(sums, part);
            }
        }
        LVQ_UNROLL for (uint k = 0u; k < NT; k++) {
            LVQ_UNROLL for (uint b = 0u; b < 4u; b++) {
                const uint c = c0 + 8u * k + 2u * t + b % 2u;
                if (c < ld) {
                    // Of tangent distances the coefficients in a prototype's basis, of x - w.
                    ys[(r + 8u * (b / 2u)) * wide + c] =
                        METRIC == TANGENT ? sums[0][k][b] - projected[c] : rounded(sums[0][k][b], OPERAND);
                }
            }
        }
    }
}

// sum_a f_a (x_a - w_ja)^2
FN float again(const float* x, uint j) const {
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
FN void find_keys_by_products() {
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
        const float4 a = row_terms(xs, r * compared + 16u * q + 4u * t);
        const float4 b = row_terms(xs, (r + 8u) * compared + 16u * q + 4u * t);
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
            x[0].set(row_terms(xs, r * compared + 16u * q + 4u * t),
                     row_terms(xs, (r + 8u) * compared + 16u * q + 4u * t));
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
                        distance = again(xs + own * compared, j);
                    }
                    keys[j * stride + own] = (distance + affine[j]) * affine[p + j];
                }
            }
        }
    }
}

// The same by differences.
FN void find_keys_by_differences() {
    LVQ_ROLLED for (uint e = threadIdx.x; e < tile * p; e += LVQ_THREADS) {
        const uint i = e % tile;
        const uint j = e / tile;
        keys[j * stride + i] = (distance(i, j) + affine[j]) * affine[p + j];
        if (keeps_raw()) {
            raw[j * stride + i] = raw_;
        }
        if (keeps_more()) {
            more[j * stride + i] = more_;
        }
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

// Sums of each prototype over the tile's rows: of G, of G keys, of the thresholds' slopes, in `columns` one after another (then of the
// factors, see `turn_slopes`); and of the reasonings (see sum.cross): dN_c S_j, then dN and dN P.
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

// Where slopes become factors.
FN void turn_slopes(float* columns) {
    for (uint e = threadIdx.x; e < tile * p; e += LVQ_THREADS) {
        if (METRIC == COSINE) {
            turn_cosine(e % tile, e / tile);
        } else {
            turn_exponential(e % tile, e / tile);
        }
    }
    __syncthreads();
    for (uint j = threadIdx.x; j < p; j += LVQ_THREADS) {
        columns[3u * p + j] += total((METRIC == COSINE ? raw : more) + j * stride);
    }
}

// sum_i G_ij x_i. A warp owns 16 prototypes by 32 features at a time: nobody else writes those sums.
FN void pull_by_products(float* pulls) {
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
                x[k].set(apart(xs, (i0 + t) * compared + c0 + 8u * k + g, 4u * compared));
            }
            multiply(part, a, x);
            if ((i0 + 16u) % GATHERED == 0u || i0 + 16u == tile) {
                gather(d, part);
            }
        }
        add_to(pulls + j0 * pulled + c0, d, pulled);
    }
}

// sum_i G_ij (x_i - w_j), or what the metric has in its place, by differences; and of tangent distances the sums of the coefficients. A
// thread owns its sums.
FN void pull_by_differences(float* pulls, float* shares) {
    for (uint e = threadIdx.x; e < p * l; e += LVQ_THREADS) {
        const uint j = e / l;
        const uint a = e % l;
        float sum = 0.0f;
        LVQ_ROLLED for (uint i = 0u; i < tile; i++) {
            const float g = slopes[j * stride + i];
            sum += g != 0.0f ? pull(i, j, a, g) : 0.0f;
        }
        pulls[j * pulled + a] += sum;
    }
    if (METRIC == TANGENT) {
        const uint s = basis_columns();
        for (uint e = threadIdx.x; e < p * s; e += LVQ_THREADS) {
            float sum = 0.0f;
            for (uint i = 0u; i < tile; i++) {
                sum += slopes[e / s * stride + i] * ys[i * wide + e];
            }
            shares[e] += affine[p + e / s] * sum;
        }
    }
}

// scale_j G_ij (y_i - v_j) of each row and map, over the prototypes that have it; `to` may be where y is.
FN void push_by_differences(float* to, uint apart, uint count) const {
    const uint width = METRIC == TANGENT ? basis_columns() : l;
    LVQ_ROLLED for (uint e = threadIdx.x; e < count * ld; e += LVQ_THREADS) {
        const uint r = e / ld;
        const uint c = e % ld;
        const uint m = c / width;
        const float v = METRIC == TANGENT ? ys[r * wide + c] : xs[r * compared + c];
        float sum = 0.0f;
        LVQ_ROLLED for (uint j = mapped == 2u ? m : 0u; j < (mapped == 2u ? m + 1u : p); j++) {
            if (mapped != 1u || labels[j] == m) {
                const float e_j = METRIC == TANGENT ? v : v - v_at(j, c % width);
                sum += affine[p + j] * slopes[j * stride + r] * e_j;
                if (METRIC == EXPONENTIAL) {
                    sum += raw[j * stride + r] * v;
                }
            }
        }
        to[r * apart + c] = sum;
    }
}

// sum_j scale_j G_ij (y_i - w_j) of each row; `to` may be where y is.
FN void push_by_products(float* to, uint apart_, const float* row_sums, uint count) {
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
                    to[r * apart_ + c] = row_sums[r] * xs[r * compared + c] - d[0][k][b];
                }
            }
        }
    }
}
// sum_i x_i push_i^T. A warp owns 16 features by 32 columns at a time.
FN void cross_products(const float* features, float* crosses) {
    const uint lane = threadIdx.x % 32u;
    const uint g = lane / 4u;
    const uint t = lane % 4u;
    const uint blocks = (ld + 8u * NT - 1u) / (8u * NT);
    for (uint e = threadIdx.x / 32u; e < (d + 15u) / 16u * blocks; e += 4u) {
        const uint a0 = e / blocks * 16u;
        const uint c0 = e % blocks * 8u * NT;
        float sums[1][NT][4];
        float part[1][NT][4];
        clear(sums);
        clear(part);
        LVQ_ROLLED for (uint i0 = 0u; i0 < tile; i0 += 16u) {
            RowOperand<Operand::F32> x[1];
            ColumnOperand<Operand::F32> w[NT];
            x[0].set(apart(features, (i0 + t) * across + a0 + g, 4u * across),
                     apart(features, (i0 + t) * across + a0 + g + 8u, 4u * across));
            LVQ_UNROLL for (uint k = 0u; k < NT; k++) {
                // Beyond the last column, the last again.
                w[k].set(apart(ys, (i0 + t) * wide + min(c0 + 8u * k + g, ld - 1u), 4u * wide));
            }
            multiply(part, x, w);
            if ((i0 + 16u) % GATHERED == 0u || i0 + 16u == tile) {
                gather(sums, part);
            }
        }
        add_to(crosses + a0 * crossed + c0, sums, crossed);
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
// of outcomes; of `columns`, 4 p; of reasonings, p x classes and 2 classes; of coefficients; of outer products, d x ld.
FN void leave(const float* pulls, const float* squares, const float* outcomes, const float* columns, const float* reasoning,
              const float* shares, const float* crosses) {
    const Prepared at(P, L);
    float* to = sums + size_t(blockIdx.x) * set;
    const uint cells = option(GRADIENT) ? p * l : 0u;
    for (uint e = threadIdx.x; e < cells; e += LVQ_THREADS) {
        const uint j = e / l;
        const uint a = e % l;
        const float f = affine[p + j];
        const float sum = pulls[j * pulled + a];
        // Differences have been summed already.
        const float w = by_differences() ? 0.0f : prepared[at.rows + j * L + a];
        to[e] = f * (sum - w * columns[j]) * (METRIC == RELEVANCE ? prepared[at.weights + a] : 1.0f);
        if (METRIC == RELEVANCE) {
            to[cells + e] = f * w * (w * columns[j] - 2.0f * sum) + (j == 0u ? squares[a] : 0.0f);
        }
    }
    to += (METRIC == RELEVANCE ? 2u : 1u) * p * l;
    if (threadIdx.x < OUTCOMES) {
        to[threadIdx.x] = total(outcomes + threadIdx.x * stride);
    }
    to += OUTCOMES;
    if (!option(GRADIENT)) {
        return;
    }
    for (uint e = threadIdx.x; e < 4u * p; e += LVQ_THREADS) {
        to[e] = columns[e];
    }
    to += 4u * p;
    if (ROWS == HINGE) {
        for (uint e = threadIdx.x; e < (p + 2u) * classes; e += LVQ_THREADS) {
            to[e] = reasoning[e];
        }
        to += (p + 2u) * classes;
    }
    if (METRIC == TANGENT) {
        for (uint e = threadIdx.x; e < ld; e += LVQ_THREADS) {
            to[e] = shares[e];
        }
        to += ld;
    }
    if (option(PROJECT) && option(PUSH)) {
        for (uint e = threadIdx.x; e < d * ld; e += LVQ_THREADS) {
            to[e] = crosses[e / ld * crossed + e % ld];
        }
    }
}

FN void main() {
    const bool gradient = option(GRADIENT);
    const bool projects = option(PROJECT);
    const uint rows = n;
    const uint first = base;
    const uint t = threadIdx.x;
    float* const all = shared_words<float>(0u);
    float* const features = shared_words<float>(projects ? tile * across : 0u);
    ys = shared_words<float>(tile * wide);
    xs = METRIC == TANGENT ? features : ys;
    compared = METRIC == TANGENT ? across : wide;
    keys = shared_words<float>(p * stride);
    raw = shared_words<float>(keeps_raw() ? p * stride : 0u);
    more = shared_words<float>(keeps_more() ? p * stride : 0u);
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
    float* const crosses = shared_words<float>(gradient && projects ? (d + 15u) / 16u * 16u * crossed : 0u);
    float* const squares = shared_words<float>(gradient && METRIC == RELEVANCE ? wide : 0u);
    float* const row_sums = shared_words<float>(gradient ? tile : 0u);
    float* const columns = shared_words<float>(gradient ? 4u * p : 0u);
    float* const reasoning = shared_words<float>(gradient && ROWS == HINGE ? (p + 2u) * classes : 0u);
    float* const shares = shared_words<float>(gradient && METRIC == TANGENT ? ld : 0u);
    // All begins as zeros: columns of features that are not there, slopes of prototypes that are not there, sums.
    for (uint e = t; e < WORDS; e += LVQ_THREADS) {
        all[e] = 0.0f;
    }
    __syncthreads();
    for (uint j = t; j < p + classes; j += LVQ_THREADS) {
        labels[j] = all_labels[j];
    }
    for (uint r0 = blockIdx.x * tile; r0 < rows; r0 += gridDim.x * tile) {
        const uint count = min(tile, rows - r0);
        base = first + r0;
        if (projects) {
            load(features, across, r0);
            __syncthreads();
            project(features);
        } else {
            load(ys, wide, r0);
        }
        __syncthreads();
        if (by_differences()) {
            find_keys_by_differences();
        } else {
            find_keys_by_products();
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
            if (keeps_factors()) {
                __syncthreads();
                turn_slopes(columns);
            }
            // Pushes take the place of the projections, where those are here.
            float* const to = projects ? ys : h + size_t(r0) * ld;
            const uint apart = projects ? wide : ld;
            if (by_differences()) {
                pull_by_differences(pulls, shares);
                if (option(PUSH)) {
                    __syncthreads();
                    push_by_differences(to, apart, count);
                }
            } else {
                pull_by_products(pulls);
                if (METRIC == RELEVANCE || option(PUSH)) {
                    add_rows(row_sums);
                    __syncthreads();
                }
                if (METRIC == RELEVANCE) {
                    for (uint a = t; a < l; a += LVQ_THREADS) {
                        float sum = 0.0f;
                        for (uint i = 0u; i < tile; i++) {
                            const float x = xs[i * wide + a];
                            sum += row_sums[i] * x * x;
                        }
                        squares[a] += sum;
                    }
                }
                if (option(PUSH)) {
                    push_by_products(to, apart, row_sums, count);
                }
            }
            if (projects && option(PUSH)) {
                __syncthreads();
                cross_products(features, crosses);
            }
        }
        __syncthreads();
    }
    leave(pulls, squares, outcomes, columns, reasoning, shares, crosses);
}

LVQ_KERNEL_END
