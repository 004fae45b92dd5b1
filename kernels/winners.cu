// The whole step of a winner pair on the tensor cores: distances to all prototypes as one product, the nearest right and wrong prototype of
// each row, the objective, and what the rows pull the prototypes with. X is read once and no matrix of rows and prototypes is written.
// The metric is the squared Euclidean distance of rows or of their one projection, or with RELEVANCE the weighted one.
//
//     |x - w|^2 = |x|^2 + (|w|^2 - 2 x w)          what is in brackets orders a row's prototypes
//
// The distances of the two winners are then formed again, by differences: nothing cancels in what the objective sees.
//
// A block takes BM rows at a time into shared memory. Its warps stand in WM rows of WN: a warp has MT x 16 rows against NT x 8 prototypes in
// registers. Where the sums of the prototypes fit beside them (SUMS), threads own columns of features in the pull, and add the rows in
// their order; a group of threads that covers the columns has sums of its own. Where they do not, `pull` goes through the rows' winners
// (`list`) again.
// In `many` the words of the prototypes come through shared memory, STAGES steps of sixteen terms ahead of their use, for all warps together.
//
// few: up to 8 prototypes; some: whose words stay near the multiprocessor; many: with more rows and prototypes a block. A number at the end is
// the number of compared terms, known when the kernel is compiled; with it `push` says that pushes are wanted, and relevances never are.
// target: compute_80
// entries: prepare prepare_half pull few_f32 few_tf32 few_bf16 few_f16 few_f32_32 few_f32_64 some_f32 some_tf32 some_bf16 some_f16 some_f32_32 some_f32_64 some_f32_64_push some_bf16_64 some_bf16_64_push many_f32 many_tf32 many_bf16 many_f16

#if defined(ENTRY_few_f32) || defined(ENTRY_few_tf32) || defined(ENTRY_few_bf16) || defined(ENTRY_few_f16) || defined(ENTRY_few_f32_32) || defined(ENTRY_few_f32_64)
#define SHAPE 2, 1, 4, 1
#elif defined(ENTRY_some_f32) || defined(ENTRY_some_tf32) || defined(ENTRY_some_bf16) || defined(ENTRY_some_f16) || defined(ENTRY_some_f32_32) || defined(ENTRY_some_f32_64) || defined(ENTRY_some_f32_64_push) || defined(ENTRY_some_bf16_64) || defined(ENTRY_some_bf16_64_push)
#define SHAPE 2, 4, 4, 1
#elif defined(ENTRY_many_f32) || defined(ENTRY_many_tf32)
#define SHAPE 2, 8, 2, 4
#elif defined(ENTRY_many_bf16) || defined(ENTRY_many_f16)
#define SHAPE 4, 8, 2, 4
#endif

#if defined(ENTRY_few_bf16) || defined(ENTRY_some_bf16) || defined(ENTRY_some_bf16_64) || defined(ENTRY_some_bf16_64_push) || defined(ENTRY_many_bf16)
#define OPERANDS Operand::Bf16
#elif defined(ENTRY_few_f16) || defined(ENTRY_some_f16) || defined(ENTRY_many_f16)
#define OPERANDS Operand::F16
#elif defined(ENTRY_few_tf32) || defined(ENTRY_some_tf32) || defined(ENTRY_many_tf32)
#define OPERANDS Operand::Tf32
#else
#define OPERANDS Operand::F32
#endif

#if defined(ENTRY_few_f32_32) || defined(ENTRY_some_f32_32)
#define KNOWN 2u, Wanted::Nothing
#elif defined(ENTRY_few_f32_64) || defined(ENTRY_some_f32_64) || defined(ENTRY_some_bf16_64)
#define KNOWN 4u, Wanted::Nothing
#elif defined(ENTRY_some_f32_64_push) || defined(ENTRY_some_bf16_64_push)
#define KNOWN 4u, Wanted::Push
#else
#define KNOWN 0u, Wanted::Any
#endif

// Blocks that a multiprocessor is to hold.
#if defined(ENTRY_few_f32_32)
#define LVQ_BLOCKS 6
#elif defined(ENTRY_few_f32) || defined(ENTRY_few_tf32) || defined(ENTRY_few_bf16) || defined(ENTRY_few_f16) || defined(ENTRY_few_f32_64)
#define LVQ_BLOCKS 4
#elif defined(ENTRY_some_tf32) || defined(ENTRY_some_f32_32) || defined(ENTRY_some_f32_64) || defined(ENTRY_some_f32_64_push) || defined(ENTRY_some_bf16_64) || defined(ENTRY_some_bf16_64_push)
#define LVQ_BLOCKS 3
#endif

#include "include/glsl.h"
#include "include/mma.h"
#include "include/prepared.h"

LVQ_KERNEL_BEGIN

#include "../shaders/include/lvq.glsl"

#if defined(ENTRY_prepare) || defined(ENTRY_prepare_half)

// One warp a block: a prototype's terms as they are wanted, and its norm.
LOCAL_SIZE(32);

CONSTANT(1, OPERAND, 0);
CONSTANT(4, RELEVANCE, 0);

BUFFER(0, readonly, float, v);
BUFFER(1, readonly, float, own);
BUFFER(2, writeonly, float, prepared);

PUSH_BEGIN
    uint p;
    uint l;
    // p and l rounded up.
    uint P;
    uint L;
PUSH_END

FN void main() {
    const Prepared at(P, L);
    const uint j = blockIdx.x;
    const uint lane = threadIdx.x;
    float norm = 0.0f;
    // Whole warps: lanes exchange what they have.
    for (uint a0 = 0u; a0 < L; a0 += 32u) {
        const uint a = a0 + lane;
        const bool inside = j < p && a < l;
        const float w = inside ? v[j * l + a] : 0.0f;
        const float weight = RELEVANCE != 0u && inside ? own[a] : 1.0f;
        const float weighted = weight * w;
        norm += weighted * w;
        // Term a of 16 q + 4 t + e, prototype 8 b + g: lane 4 g + t takes it as its e-th word in step q.
        const uint taker = 4u * (j % 8u) + a % 16u / 4u;
        const uint place = ((j / 8u) * (L / 16u) + a / 16u) * 32u + taker;
#if defined(ENTRY_prepare)
        if (a < L) {
            prepared[place * 4u + a % 4u] = weighted;
        }
#else
        const float other = __shfl_down_sync(0xffffffffu, weighted, 1);
        if (a < L && a % 2u == 0u) {
            const unsigned word = OPERAND == 1u ? pack<Operand::Bf16>(weighted, other) : pack<Operand::F16>(weighted, other);
            prepared[place * 2u + a % 4u / 2u] = __uint_as_float(word);
        }
#endif
        if (a < L) {
            prepared[at.rows + j * L + a] = w;
        }
        if (j == 0u && a < L) {
            prepared[at.weights + a] = RELEVANCE != 0u && a < l ? own[a] : 1.0f;
        }
    }
    norm = subgroupAdd(norm);
    if (lane == 0u) {
        // No row is nearest to a prototype that is not there.
        prepared[at.norms + j] = j < p ? norm : __uint_as_float(0x7f800000u);
    }
}

#elif defined(ENTRY_pull)

// What the rows pull eight prototypes with, from the list of the rows' winners: a block goes through a slab of rows and keeps those of
// its prototypes, in their order. Four features a thread.
LOCAL_SIZE(128);

CONSTANT(4, RELEVANCE, 0);
// 8 l, rounded up to whole fours a prototype.
CONSTANT(8, CELLS, 64);
CONSTANT(9, SQUARES, 4);

BUFFER(0, readonly, float, y);
BUFFER(1, readonly, float, prepared);
BUFFER(2, readonly, uint4, list);
BUFFER(3, writeonly, float, sums);

PUSH_BEGIN
    uint n;
    uint p;
    uint l;
    uint ld;
    uint y_base;
    uint P;
    uint L;
    // Rows of a slab.
    uint slab;
    // 1: rows of y begin at whole fours.
    uint aligned;
PUSH_END

SHARED_SIZED(float, pulls, CELLS);
SHARED_SIZED(float, squares, SQUARES);

#define EACH 8u
// Rows that are looked at together, as many a thread, and entries that are kept before they are worked off: those of two looks.
#define LOOK 512u
#define ROWS (LOOK / 128u)
#define ROOM 2048u
// Entries worked on together: their rows come from memory at the same time.
#define TOGETHER 8u

// Features a .. a + 3 of the slab's row r; ALIGNED: it begins at a whole four.
template <bool ALIGNED>
FN float4 row4(const float* slab_, uint r, uint a) const {
    const float* const from = slab_ + size_t(r) * ld;
    if (ALIGNED) {
        return *reinterpret_cast<const float4*>(from);
    }
    float4 x = make_float4(from[0], 0.0f, 0.0f, 0.0f);
    x.y = a + 1u < l ? from[1] : 0.0f;
    x.z = a + 2u < l ? from[2] : 0.0f;
    x.w = a + 3u < l ? from[3] : 0.0f;
    return x;
}

// Adds what the rows of `kept` entries pull their prototypes with.
template <bool ALIGNED, bool WEIGHED>
FN void work_off(const uint* entries, const float* slopes, uint kept, uint first, uint j0, uint l4) {
    const float* const rows = prepared + Prepared(P, L).rows + size_t(j0) * L;
    for (uint a = 4u * threadIdx.x; a < l; a += 512u) {
        const float* const slab_ = y + size_t(y_base + first) * ld + a;
        const float* const w = rows + a;
        float* const sums_ = pulls + a;
        float4 square = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        // Rows from memory first, several at a time. Entries beyond the last have slope 0.
        for (uint k0 = 0u; k0 < kept; k0 += TOGETHER) {
            uint entry[TOGETHER];
            float4 x[TOGETHER];
            LVQ_UNROLL for (uint k = 0u; k < TOGETHER; k++) {
                entry[k] = entries[k0 + k];
                x[k] = row4<ALIGNED>(slab_, entry[k] / EACH, a);
            }
            LVQ_UNROLL for (uint k = 0u; k < TOGETHER; k++) {
                const uint j = entry[k] % EACH;
                const float g = slopes[k0 + k];
                const float4 w4 = *reinterpret_cast<const float4*>(w + j * L);
                float4* const to = reinterpret_cast<float4*>(sums_ + j * l4);
                float4 sum = *to;
                const float4 e = make_float4(x[k].x - w4.x, x[k].y - w4.y, x[k].z - w4.z, x[k].w - w4.w);
                sum.x += g * e.x;
                sum.y += g * e.y;
                sum.z += g * e.z;
                sum.w += g * e.w;
                *to = sum;
                if (WEIGHED) {
                    square.x += g * e.x * e.x;
                    square.y += g * e.y * e.y;
                    square.z += g * e.z * e.z;
                    square.w += g * e.w * e.w;
                }
            }
        }
        if (WEIGHED) {
            squares[a] += square.x;
            squares[a + 1u] += square.y;
            squares[a + 2u] += square.z;
            squares[a + 3u] += square.w;
        }
    }
}

FN void look(uint4 (&w)[ROWS], uint i0, uint end) const {
    LVQ_UNROLL for (uint k = 0u; k < ROWS; k++) {
        const uint i = i0 + 128u * k + threadIdx.x;
        w[k] = i < end ? list[i] : uint4{NONE, NONE, 0u, 0u};
    }
}

FN void main() {
    const Prepared at(P, L);
    __shared__ uint entries[ROOM + TOGETHER];
    __shared__ float slopes[ROOM + TOGETHER];
    __shared__ uint counts[4u * ROWS];
    const uint t = threadIdx.x;
    const uint warp = t / 32u;
    const uint l4 = (l + 3u) / 4u * 4u;
    const uint j0 = blockIdx.x * EACH;
    for (uint e = t; e < EACH * l4; e += 128u) {
        pulls[e] = 0.0f;
    }
    if (RELEVANCE != 0u) {
        for (uint e = t; e < l4; e += 128u) {
            squares[e] = 0.0f;
        }
    }
    const uint first = blockIdx.y * slab;
    const uint end = min(first + slab, n);
    uint kept = 0u;
    uint4 w[ROWS];
    look(w, first, end);
    for (uint i0 = first; i0 < end; i0 += LOOK) {
        // Of these rows the winners that are the block's: places by rank, so the order is that of the rows.
        bool plus[ROWS];
        bool minus[ROWS];
        uint rank[ROWS];
        const uint before = (1u << (t % 32u)) - 1u;
        LVQ_UNROLL for (uint k = 0u; k < ROWS; k++) {
            plus[k] = w[k].x - j0 < EACH && __uint_as_float(w[k].z) != 0.0f;
            minus[k] = w[k].y - j0 < EACH && __uint_as_float(w[k].w) != 0.0f;
            const uint all_plus = __ballot_sync(0xffffffffu, plus[k]);
            const uint all_minus = __ballot_sync(0xffffffffu, minus[k]);
            rank[k] = __popc(all_plus & before) + __popc(all_minus & before);
            if (t % 32u == 0u) {
                counts[4u * k + warp] = __popc(all_plus) + __popc(all_minus);
            }
        }
        __syncthreads();
        uint sum = kept;
        LVQ_UNROLL for (uint k = 0u; k < ROWS; k++) {
            uint place = sum + rank[k];
            for (uint v = 0u; v < 4u; v++) {
                place += v < warp ? counts[4u * k + v] : 0u;
                sum += counts[4u * k + v];
            }
            // A prototype of the block and a row of the slab in one word.
            const uint i = i0 + 128u * k + t - first;
            if (plus[k]) {
                entries[place] = i * EACH + (w[k].x - j0);
                slopes[place] = __uint_as_float(w[k].z);
                place += 1u;
            }
            if (minus[k]) {
                entries[place] = i * EACH + (w[k].y - j0);
                slopes[place] = __uint_as_float(w[k].w);
            }
        }
        kept = sum;
        // Up to a whole number of those that are worked on together.
        if (t < TOGETHER) {
            entries[kept + t] = 0u;
            slopes[kept + t] = 0.0f;
        }
        // The next rows are on their way while these are worked off.
        look(w, i0 + LOOK, end);
        __syncthreads();
        if (kept + 2u * LOOK <= ROOM && i0 + LOOK < end) {
            continue;
        }
        if (RELEVANCE != 0u) {
            work_off<false, true>(entries, slopes, kept, first, j0, l4);
        } else if (aligned != 0u) {
            work_off<true, false>(entries, slopes, kept, first, j0, l4);
        } else {
            work_off<false, false>(entries, slopes, kept, first, j0, l4);
        }
        __syncthreads();
        kept = 0u;
    }
    // Each thread wrote its own columns, and others read them.
    __syncthreads();
    const uint cells = p * l;
    const uint to = blockIdx.y * (RELEVANCE != 0u ? 2u : 1u) * cells;
    for (uint e = t; e < EACH * l; e += 128u) {
        const uint j = e / l;
        const uint a = e % l;
        if (j0 + j < p) {
            sums[to + (j0 + j) * l + a] = pulls[j * l4 + a] * (RELEVANCE != 0u ? prepared[at.weights + a] : 1.0f);
            if (RELEVANCE != 0u) {
                // Only the sum over prototypes is wanted: a block's is in its first.
                sums[to + cells + (j0 + j) * l + a] = j == 0u ? squares[a] : 0.0f;
            }
        }
    }
}

#else

CONSTANT(1, OPERAND, 0);
CONSTANT(2, TRANSFER, 0);
CONSTANT(3, OPTIONS, 0);
CONSTANT(4, RELEVANCE, 0);
// 0 GLVQ, 1 LVQ1, 2 LVQ2.1.
CONSTANT(5, OBJECTIVE, 0);
// Sums of a group of threads: of the prototypes, p x L, and with RELEVANCE L more. 0: the list is wanted.
CONSTANT(6, SUMS, 0);
// Groups.
CONSTANT(7, GROUPS, 1);
// All words of shared memory.
CONSTANT(8, WORDS, 64);

BUFFER(0, readonly, float, y);
BUFFER(1, readonly, float, prepared);
BUFFER(2, readonly, uint, codes);
BUFFER(3, readonly, float, factors);
BUFFER(4, readonly, uint, labels);
BUFFER(5, writeonly, float, outcome);
BUFFER(6, writeonly, float, sums);
BUFFER(7, writeonly, float, h);
BUFFER(8, writeonly, uint4, list);
BUFFER(9, readonly, float, dynamic);

PUSH_BEGIN
    uint n;
    uint p;
    uint l;
    uint ld;
    uint base;
    uint y_base;
    float margin;
    float beta;
    uint P;
    uint L;
    uint aligned;
    // Threads of a group.
    uint columns;
PUSH_END

#define GRADIENT 1u
#define PUSH 64u

#include "../shaders/include/transfer.glsl"
#define pair pair_glvq
#include "../shaders/include/glvq.glsl"
#undef pair
#define pair pair_lvq1
#include "../shaders/include/lvq1.glsl"
#undef pair
#define pair pair_lvq21
#include "../shaders/include/lvq21.glsl"
#undef pair

FN void objective(bool has_plus, float a, bool has_minus, float b, OUT(float) loss, OUT(float) ga, OUT(float) gb) {
    if (OBJECTIVE == 0u) {
        pair_glvq(has_plus, a, has_minus, b, EPS, loss, ga, gb);
    } else if (OBJECTIVE == 1u) {
        pair_lvq1(has_plus, a, has_minus, b, EPS, loss, ga, gb);
    } else {
        pair_lvq21(has_plus, a, has_minus, b, EPS, loss, ga, gb);
    }
}

template <unsigned MT_, unsigned NT_, unsigned WM_, unsigned WN_>
struct Shape {
    static constexpr unsigned MT = MT_, NT = NT_, WM = WM_, WN = WN_, BM = 16 * MT_ * WM_, THREADS = 32 * WM_ * WN_;
};
using S = Shape<SHAPE>;
static constexpr unsigned LVQ_THREADS = S::THREADS;
static constexpr Operand O = OPERANDS;
static constexpr bool HALF = O == Operand::Bf16 || O == Operand::F16;

// What is known when the kernel is compiled: steps of sixteen terms (0: any number, and l need not be a multiple of sixteen), and which of
// PUSH and RELEVANCE is wanted.
enum class Wanted { Nothing, Push, Any };
template <uint STEPS, Wanted WANTED>
struct Known {
    static constexpr uint steps = STEPS;
    static constexpr Wanted wanted = WANTED;
};
template <class T>
FN uint terms_of() const { return T::steps > 0u ? 16u * T::steps : L; }
template <class T>
FN bool pushes() const { return T::wanted == Wanted::Any ? (OPTIONS & PUSH) != 0u : T::wanted == Wanted::Push; }
template <class T>
FN bool weighs() const { return T::wanted == Wanted::Any && RELEVANCE != 0u; }

// Steps that are on their way or used, and words of one.
static constexpr bool STAGED = S::WN > 1u;
static constexpr uint STAGES = 4u;
static constexpr uint STAGE = STAGED ? 8u * S::NT * S::WN * (HALF ? 8u : 16u) : 0u;

// A row's two candidates, or its winners (as first words of their rows) and slopes.
struct alignas(16) Candidates {
    float d_plus;
    uint plus;
    float d_minus;
    uint minus;
};

// Words from one row of the tile to the next: two rows (four of half precision) lie in different banks.
template <class T>
FN uint stride() const {
    const uint terms = terms_of<T>();
    return HALF ? terms / 2u + 8u : (terms % 32u == 0u ? terms + 16u : terms);
}

// Terms 4 c .. 4 c + 3 of a row of the tile.
template <class T>
FN float4 terms(const uint* xs, uint r, uint c) const {
    if (!HALF) {
        return *reinterpret_cast<const float4*>(xs + r * stride<T>() + 4u * c);
    }
    const uint2 w = *reinterpret_cast<const uint2*>(xs + r * stride<T>() + 2u * c);
    return make_float4(number(w.x, 0u), number(w.x, 1u), number(w.y, 0u), number(w.y, 1u));
}
// Terms 2 c and 2 c + 1.
template <class T>
FN float2 two_terms(const uint* xs, uint r, uint c) const {
    if (!HALF) {
        return *reinterpret_cast<const float2*>(xs + r * stride<T>() + 2u * c);
    }
    const uint word = xs[r * stride<T>() + c];
    return make_float2(number(word, 0u), number(word, 1u));
}
static FN float number(uint word, uint which) {
    const uint bits = which != 0u ? word >> 16 : word & 0xffffu;
    return O == Operand::F16 ? half_to_float((unsigned short)bits) : __uint_as_float(bits << 16);
}

template <class T>
FN void load(uint* xs, uint r0) {
    const uint terms = terms_of<T>();
    const uint count = min(S::BM, n - r0);
    const float* const from = y + size_t(y_base + r0) * ld;
    if (HALF) {
        // Eight at a time: what is read comes before what is written.
        constexpr uint BATCH = 8u;
        const uint all = S::BM * (terms / 4u);
        for (uint e0 = threadIdx.x; e0 < all; e0 += BATCH * S::THREADS) {
            float4 x[BATCH];
            LVQ_UNROLL for (uint k = 0u; k < BATCH; k++) {
                const uint e = e0 + k * S::THREADS;
                const uint r = e / (terms / 4u);
                const uint a = e % (terms / 4u) * 4u;
                x[k] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
                if (r < count && a < l) {
                    const float* const at = from + size_t(r) * ld + a;
                    if (aligned != 0u) {
                        x[k] = *reinterpret_cast<const float4*>(at);
                    } else {
                        x[k].x = at[0];
                        x[k].y = a + 1u < l ? at[1] : 0.0f;
                        x[k].z = a + 2u < l ? at[2] : 0.0f;
                        x[k].w = a + 3u < l ? at[3] : 0.0f;
                    }
                }
            }
            LVQ_UNROLL for (uint k = 0u; k < BATCH; k++) {
                const uint e = e0 + k * S::THREADS;
                const uint r = e / (terms / 4u);
                const uint a = e % (terms / 4u) * 4u;
                if (e < all) {
                    *reinterpret_cast<uint2*>(xs + r * stride<T>() + a / 2u) =
                        uint2{pack<O>(x[k].x, x[k].y), pack<O>(x[k].z, x[k].w)};
                }
            }
        }
    } else if constexpr (T::steps > 0u) {
        // As many a thread as is known when the kernel is compiled: always the same columns, of every n-th row.
        constexpr uint QUADS = 4u * T::steps;
        constexpr uint EVERY = S::THREADS / QUADS;
        uint r = threadIdx.x / QUADS;
        const uint a = threadIdx.x % QUADS * 4u;
        const float* at = from + size_t(r) * ld + a;
        uint* to = xs + r * stride<T>() + a;
        for (uint k = 0u; k < S::BM / EVERY; k++) {
            copy16(to, r < count ? at : from, r < count);
            r += EVERY;
            at += size_t(EVERY) * ld;
            to += EVERY * stride<T>();
        }
    } else if (aligned != 0u) {
        const uint quads = l / 4u;
        for (uint e = threadIdx.x; e < S::BM * quads; e += S::THREADS) {
            const uint r = e / quads;
            const uint a = e % quads * 4u;
            copy16(xs + r * stride<T>() + a, from + size_t(min(r, count - 1u)) * ld + a, r < count);
        }
    } else {
        for (uint e = threadIdx.x; e < S::BM * l; e += S::THREADS) {
            const uint r = e / l;
            const uint a = e % l;
            copy4(xs + r * stride<T>() + a, from + size_t(min(r, count - 1u)) * ld + a, r < count);
        }
    }
    copies_begun();
}

static FN void better(OUT(float) d, OUT(uint) j, float other_d, uint other_j) {
    const bool other = (other_d < d) | ((other_d == d) & (other_j < j));
    d = other ? other_d : d;
    j = other ? other_j : j;
}

// Few prototypes of few terms stay in registers from tile to tile.
template <class T>
struct Prototypes {
    static constexpr bool KEPT = S::NT == 1u && T::steps > 0u;
    ColumnOperand<O> operands[KEPT ? T::steps : 1u][S::NT];
};
template <class T>
FN void keep(Prototypes<T>& kept) const {
    if constexpr (Prototypes<T>::KEPT) {
        LVQ_UNROLL for (uint q = 0u; q < T::steps; q++) {
            kept.operands[q][0].set(take(q * 32u + threadIdx.x % 32u));
        }
    }
}

// The step of sixteen terms of 8 NT WN prototypes that is brought next, of all that a tile's rows go through.
struct Ahead {
    uint slot, tile, q;
};
// Begins to bring it.
template <class T>
FN void bring(uint* stages, Ahead& ahead, uint steps) const {
    if constexpr (STAGED && sizeof(T) > 0u) {
        constexpr uint WORDS_OF_TILE = HALF ? 64u : 128u;
        uint* const to = stages + ahead.slot * STAGE;
        if (ahead.tile * 8u < P) {
            const float* const from = prepared + (ahead.tile * steps + ahead.q) * WORDS_OF_TILE;
            LVQ_UNROLL for (uint k = 0u; k < STAGE / (4u * S::THREADS); k++) {
                const uint e = 4u * (threadIdx.x + k * S::THREADS);
                copy16(to + e, from + e / WORDS_OF_TILE * steps * WORDS_OF_TILE + e % WORDS_OF_TILE, true);
            }
        }
        ahead.slot = (ahead.slot + 1u) % STAGES;
        ahead.q++;
        if (ahead.q == steps) {
            ahead.q = 0u;
            ahead.tile += S::NT * S::WN;
        }
    }
    copies_begun();
}

// Products of sixteen terms of the warp's rows with prototypes.
template <class T>
FN void step(float (&d)[S::MT][S::NT][4], const ColumnOperand<O> (&w)[S::NT], const uint* xs, uint r, uint c) const {
    RowOperand<O> x[S::MT];
    LVQ_UNROLL for (uint m = 0u; m < S::MT; m++) {
        rows<T>(x[m], xs, r + 16u * m, c);
    }
    multiply(d, x, w);
}

// The candidates of the tile's rows among all prototypes.
template <class T>
FN void nearest(const Prototypes<T>& kept, uint* stages, const uint* xs, const float* norms, const uint* classes, Candidates* candidates, uint r0) {
    const uint lane = threadIdx.x % 32u;
    const uint g = lane / 4u;
    const uint t = lane % 4u;
    const uint wm = threadIdx.x / 32u % S::WM;
    const uint wn = threadIdx.x / 32u / S::WM;
    const uint steps = terms_of<T>() / 16u;
    const uint row0 = wm * 16u * S::MT;
    Candidates best[S::MT][2];
    uint class_[S::MT][2];
    LVQ_UNROLL for (uint m = 0u; m < S::MT; m++) {
        LVQ_UNROLL for (uint b = 0u; b < 2u; b++) {
            const uint i = r0 + row0 + 16u * m + 8u * b + g;
            class_[m][b] = i < n ? codes[base + i] : NONE;
            best[m][b] = Candidates{__uint_as_float(0x7f800000u), NONE, __uint_as_float(0x7f800000u), NONE};
        }
    }
    const uint end = Prototypes<T>::KEPT ? 8u : P;
    Ahead ahead{0u, 0u, 0u};
    uint slot = 0u;
    if constexpr (STAGED) {
        LVQ_UNROLL for (uint k = 0u; k + 1u < STAGES; k++) {
            bring<T>(stages, ahead, steps);
        }
    }
    for (uint j0 = wn * 8u * S::NT; j0 < end; j0 += 8u * S::NT * S::WN) {
        float d[S::MT][S::NT][4];
        clear(d);
        if constexpr (Prototypes<T>::KEPT) {
            LVQ_UNROLL for (uint q = 0u; q < T::steps; q++) {
                step<T>(d, kept.operands[q], xs, row0 + g, 4u * q + t);
            }
        } else if constexpr (STAGED) {
            for (uint q = 0u; q < steps; q++) {
                // This step has come for all, and what the step before it left may be written over.
                copies_done<STAGES - 2>();
                __syncthreads();
                bring<T>(stages, ahead, steps);
                const Taken* const from = reinterpret_cast<const Taken*>(stages + slot * STAGE) + lane;
                slot = (slot + 1u) % STAGES;
                ColumnOperand<O> w[S::NT];
                LVQ_UNROLL for (uint k = 0u; k < S::NT; k++) {
                    w[k].set(from[(wn * S::NT + k) * 32u]);
                }
                step<T>(d, w, xs, row0 + g, 4u * q + t);
            }
        } else {
            // The next step's words of the prototypes are on their way while this step's are used.
            const uint block = (j0 / 8u * steps) * 32u + lane;
            Taken next[S::NT];
            LVQ_UNROLL for (uint k = 0u; k < S::NT; k++) {
                next[k] = take(block + k * steps * 32u);
            }
            LVQ_UNROLL for (uint q = 0u; q < steps; q++) {
                ColumnOperand<O> w[S::NT];
                LVQ_UNROLL for (uint k = 0u; k < S::NT; k++) {
                    w[k].set(next[k]);
                }
                const uint after = min(q + 1u, steps - 1u);
                LVQ_UNROLL for (uint k = 0u; k < S::NT; k++) {
                    next[k] = take(block + (k * steps + after) * 32u);
                }
                step<T>(d, w, xs, row0 + g, 4u * q + t);
            }
        }
        LVQ_UNROLL for (uint k = 0u; k < S::NT; k++) {
            LVQ_UNROLL for (uint e = 0u; e < 2u; e++) {
                const uint j = j0 + 8u * k + 2u * t + e;
                const float norm = norms[j];
                const uint label = classes[j];
                LVQ_UNROLL for (uint m = 0u; m < S::MT; m++) {
                    LVQ_UNROLL for (uint b = 0u; b < 2u; b++) {
                        const float key = norm - 2.0f * d[m][k][2u * b + e];
                        Candidates& c = best[m][b];
                        const bool own = label == class_[m][b];
                        // No branches: lanes of a warp would take turns.
                        const bool plus = own & (key < c.d_plus);
                        const bool minus = !own & (key < c.d_minus);
                        c.d_plus = plus ? key : c.d_plus;
                        c.plus = plus ? j : c.plus;
                        c.d_minus = minus ? key : c.d_minus;
                        c.minus = minus ? j : c.minus;
                    }
                }
            }
        }
    }
    LVQ_UNROLL for (uint m = 0u; m < S::MT; m++) {
        LVQ_UNROLL for (uint b = 0u; b < 2u; b++) {
            Candidates& c = best[m][b];
            LVQ_UNROLL for (int across = 1; across < 4; across *= 2) {
                const float d_plus = __shfl_xor_sync(0xffffffffu, c.d_plus, across);
                const uint plus = __shfl_xor_sync(0xffffffffu, c.plus, across);
                const float d_minus = __shfl_xor_sync(0xffffffffu, c.d_minus, across);
                const uint minus = __shfl_xor_sync(0xffffffffu, c.minus, across);
                better(c.d_plus, c.plus, d_plus, plus);
                better(c.d_minus, c.minus, d_minus, minus);
            }
            if (t == 0u) {
                candidates[wn * S::BM + row0 + 16u * m + 8u * b + g] = c;
            }
        }
    }
}

using Taken = TakenBy<O>::type;
FN Taken take(uint place) const { return reinterpret_cast<const Taken*>(prepared)[place]; }
template <class T, class Row>
FN void rows(Row& x, const uint* xs, uint r, uint c) const {
    if constexpr (HALF) {
        const uint2 low = *reinterpret_cast<const uint2*>(xs + r * stride<T>() + 2u * c);
        const uint2 high = *reinterpret_cast<const uint2*>(xs + (r + 8u) * stride<T>() + 2u * c);
        x.words[0] = low.x;
        x.words[1] = high.x;
        x.words[2] = low.y;
        x.words[3] = high.y;
    } else {
        x.set(terms<T>(xs, r, c), terms<T>(xs, r + 8u, c));
    }
}

// Any prototype of the class (of another): where no distance is less than infinity, there is none, or the distances are no numbers, and that
// must be seen.
FN uint any(const uint* classes, uint class_, bool own) const {
    for (uint j = 0u; j < p; j++) {
        if ((classes[j] == class_) == own) {
            return j;
        }
    }
    return NONE;
}

// From candidates to losses, slopes and the rows' places in the pull. Four lanes share a row; each then has one row's objective.
template <class T>
FN void judge(const uint* xs, const uint* classes, Candidates* candidates, uint r0) {
    const Prepared at(P, L);
    const uint lane = threadIdx.x % 32u;
    const uint g = lane / 4u;
    const uint t = lane % 4u;
    constexpr uint EACH = S::BM / (S::WM * S::WN);
    constexpr uint PASSES = EACH / 8u;
    static_assert(PASSES >= 1 && PASSES <= 4, "a lane has one row");
    const uint own_row0 = threadIdx.x / 32u * EACH;
    Candidates own{0.0f, NONE, 0.0f, NONE};
    LVQ_UNROLL for (uint pass = 0u; pass < PASSES; pass++) {
        const uint r = own_row0 + 8u * pass + g;
        Candidates c = candidates[r];
        LVQ_UNROLL for (uint k = 1u; k < S::WN; k++) {
            const Candidates other = candidates[k * S::BM + r];
            better(c.d_plus, c.plus, other.d_plus, other.plus);
            better(c.d_minus, c.minus, other.d_minus, other.minus);
        }
        if (r0 + r < n && (c.plus == NONE || c.minus == NONE)) {
            const uint class_ = codes[base + r0 + r];
            c.plus = c.plus == NONE ? any(classes, class_, true) : c.plus;
            c.minus = c.minus == NONE ? any(classes, class_, false) : c.minus;
        }
        const float* const w_plus = prepared + at.rows + (c.plus == NONE ? 0u : c.plus) * L;
        const float* const w_minus = prepared + at.rows + (c.minus == NONE ? 0u : c.minus) * L;
        const float* const weights = prepared + at.weights;
        float d_plus = 0.0f;
        float d_minus = 0.0f;
        LVQ_UNROLL for (uint s = 0u; s < terms_of<T>() / 16u; s++) {
            const uint q = 4u * s + t;
            const float4 x = terms<T>(xs, r, q);
            const float4 a = *reinterpret_cast<const float4*>(w_plus + 4u * q);
            const float4 b = *reinterpret_cast<const float4*>(w_minus + 4u * q);
            float4 f = make_float4(1.0f, 1.0f, 1.0f, 1.0f);
            if (weighs<T>()) {
                f = *reinterpret_cast<const float4*>(weights + 4u * q);
            }
            d_plus += f.x * (x.x - a.x) * (x.x - a.x);
            d_minus += f.x * (x.x - b.x) * (x.x - b.x);
            d_plus += f.y * (x.y - a.y) * (x.y - a.y);
            d_minus += f.y * (x.y - b.y) * (x.y - b.y);
            d_plus += f.z * (x.z - a.z) * (x.z - a.z);
            d_minus += f.z * (x.z - b.z) * (x.z - b.z);
            d_plus += f.w * (x.w - a.w) * (x.w - a.w);
            d_minus += f.w * (x.w - b.w) * (x.w - b.w);
        }
        LVQ_UNROLL for (int across = 1; across < 4; across *= 2) {
            d_plus += __shfl_xor_sync(0xffffffffu, d_plus, across);
            d_minus += __shfl_xor_sync(0xffffffffu, d_minus, across);
        }
        if (t == pass) {
            own = Candidates{d_plus, c.plus, d_minus, c.minus};
        }
    }
    // All have read what is now written over.
    if (S::WN == 1u) {
        __syncwarp();
    } else {
        __syncthreads();
    }
    if (t < PASSES) {
        const uint r = own_row0 + 8u * t + g;
        const uint i = r0 + r;
        float ga = 0.0f;
        float gb = 0.0f;
        if (i < n) {
            float loss;
            objective(own.plus != NONE, own.d_plus, own.minus != NONE, own.d_minus, loss, ga, gb);
            const float f = factors[base + i];
            outcome[i] = f == 0.0f ? 0.0f : loss * f;
            ga = own.plus == NONE || f == 0.0f ? 0.0f : rounded(ga * f * dynamic[0], OPERAND);
            gb = own.minus == NONE || f == 0.0f ? 0.0f : rounded(gb * f * dynamic[0], OPERAND);
        }
        // A side without a prototype pulls prototype 0 with nothing.
        const uint plus = own.plus == NONE ? 0u : own.plus;
        const uint minus = own.minus == NONE ? 0u : own.minus;
        candidates[r] = Candidates{ga, plus * L, gb, minus * L};
        if (SUMS == 0u && i < n && (OPTIONS & GRADIENT) != 0u) {
            list[i] = uint4{plus, minus, __float_as_uint(ga), __float_as_uint(gb)};
        }
    }
}

// What the tile's rows pull the prototypes with: a thread has two columns of features, and adds the rows of its group in their order.
template <class T>
FN void pull(const uint* xs, const Candidates* winners, float* pulls, uint count, uint r0) {
    const Prepared at(P, L);
    const uint group = threadIdx.x / columns;
    if (group >= GROUPS) {
        return;
    }
    const uint terms = terms_of<T>();
    const float* const w = prepared + at.rows;
    float* const own = pulls + group * SUMS;
    for (uint c = threadIdx.x % columns; c < terms / 2u; c += columns) {
        float2 all = make_float2(0.0f, 0.0f);
        uint r = group;
        // Four rows at a time: what is read comes before what is written.
        for (; r + 3u * GROUPS < count; r += 4u * GROUPS) {
            Pull one[4];
            LVQ_UNROLL for (uint k = 0u; k < 4u; k++) {
                one[k] = pull_of<T>(xs, w, winners, all, r + k * GROUPS, c, r0);
            }
            LVQ_UNROLL for (uint k = 0u; k < 4u; k++) {
                add(own, one[k]);
            }
        }
        for (; r < count; r += GROUPS) {
            add(own, pull_of<T>(xs, w, winners, all, r, c, r0));
        }
        if (weighs<T>()) {
            own[p * L + 2u * c] += all.x;
            own[p * L + 2u * c + 1u] += all.y;
        }
    }
}

// What one row pulls its two prototypes with, in two features.
struct Pull {
    uint plus, minus;
    float2 to_plus, to_minus;
};
template <class T>
FN Pull pull_of(const uint* xs, const float* w, const Candidates* winners, float2& squares, uint r, uint c, uint r0) {
    const Candidates won = winners[r];
    const float2 x = two_terms<T>(xs, r, c);
    const uint plus = won.plus + 2u * c;
    const uint minus = won.minus + 2u * c;
    const float2 a = *reinterpret_cast<const float2*>(w + plus);
    const float2 b = *reinterpret_cast<const float2*>(w + minus);
    const float2 e_plus = make_float2(x.x - a.x, x.y - a.y);
    const float2 e_minus = make_float2(x.x - b.x, x.y - b.y);
    const Pull one{plus, minus, make_float2(won.d_plus * e_plus.x, won.d_plus * e_plus.y),
                   make_float2(won.d_minus * e_minus.x, won.d_minus * e_minus.y)};
    if (weighs<T>()) {
        squares.x += one.to_plus.x * e_plus.x + one.to_minus.x * e_minus.x;
        squares.y += one.to_plus.y * e_plus.y + one.to_minus.y * e_minus.y;
    }
    if (pushes<T>()) {
        push_to(r0 + r, 2u * c, one.to_plus.x + one.to_minus.x);
        push_to(r0 + r, 2u * c + 1u, one.to_plus.y + one.to_minus.y);
    }
    return one;
}
FN void push_to(uint i, uint a, float value) {
    if (a < l) {
        h[size_t(i) * l + a] = value;
    }
}

// The two prototypes differ, but where one is missing: then its slope is 0, and what is read of both before is written last by the other.
static FN void add(float* sums, const Pull& one) {
    float2* const to_plus = reinterpret_cast<float2*>(sums + one.plus);
    float2* const to_minus = reinterpret_cast<float2*>(sums + one.minus);
    float2 plus = *to_plus;
    float2 minus = *to_minus;
    plus.x += one.to_plus.x;
    plus.y += one.to_plus.y;
    minus.x += one.to_minus.x;
    minus.y += one.to_minus.y;
    *to_plus = plus;
    *to_minus = minus;
}

// The push alone, where the pull goes by the list.
template <class T>
FN void push(const uint* xs, const Candidates* winners, uint count, uint r0) {
    const Prepared at(P, L);
    const float* const w = prepared + at.rows;
    float2 squares = make_float2(0.0f, 0.0f);
    const uint pairs = (l + 1u) / 2u;
    for (uint e = threadIdx.x; e < count * pairs; e += S::THREADS) {
        pull_of<T>(xs, w, winners, squares, e / pairs, e % pairs, r0);
    }
}

template <class T>
FN void run() {
    const Prepared at(P, L);
    Candidates* const candidates = shared_words<Candidates>(4u * S::BM * S::WN);
    uint* const xs = shared_words<uint>(S::BM * stride<T>());
    uint* const stages = shared_words<uint>(STAGES * STAGE);
    float* const norms = shared_words<float>(P);
    uint* const classes = shared_words<uint>(P);
    float* const pulls = shared_words<float>(GROUPS * SUMS);
    for (uint e = threadIdx.x; e < GROUPS * SUMS; e += S::THREADS) {
        pulls[e] = 0.0f;
    }
    for (uint j = threadIdx.x; j < P; j += S::THREADS) {
        norms[j] = prepared[at.norms + j];
        classes[j] = j < p ? labels[j] : NONE;
    }
    if (!HALF && T::steps == 0u) {
        for (uint e = threadIdx.x; e < S::BM * (L - l); e += S::THREADS) {
            xs[e / (L - l) * stride<T>() + l + e % (L - l)] = 0u;
        }
    }
    const bool gradient = (OPTIONS & GRADIENT) != 0u;
    Prototypes<T> kept;
    keep(kept);
    for (uint r0 = blockIdx.x * S::BM; r0 < n; r0 += gridDim.x * S::BM) {
        load<T>(xs, r0);
        copies_done<0>();
        __syncthreads();
        nearest<T>(kept, stages, xs, norms, classes, candidates, r0);
        if (S::WN == 1u) {
            __syncwarp();
        } else {
            __syncthreads();
        }
        judge<T>(xs, classes, candidates, r0);
        __syncthreads();
        if (gradient && SUMS != 0u) {
            pull<T>(xs, candidates, pulls, min(S::BM, n - r0), r0);
        } else if (gradient && pushes<T>()) {
            push<T>(xs, candidates, min(S::BM, n - r0), r0);
        }
        __syncthreads();
    }
    if (gradient && SUMS != 0u) {
        const uint cells = p * l;
        const uint to = blockIdx.x * (RELEVANCE != 0u ? 2u : 1u) * cells;
        for (uint e = threadIdx.x; e < cells; e += S::THREADS) {
            const uint j = e / l;
            const uint a = e % l;
            float sum = 0.0f;
            float square = 0.0f;
            for (uint group = 0u; group < GROUPS; group++) {
                sum += pulls[group * SUMS + j * L + a];
                square += RELEVANCE != 0u && j == 0u ? pulls[group * SUMS + p * L + a] : 0.0f;
            }
            sums[to + e] = sum * (RELEVANCE != 0u ? prepared[at.weights + a] : 1.0f);
            if (RELEVANCE != 0u) {
                sums[to + cells + e] = square;
            }
        }
    }
}

FN void main() {
    run<Known<KNOWN>>();
}

#endif

LVQ_KERNEL_END
