// Products over rows on the tensor cores, each as three of tf32: what omega.comp's `project_tile` and `outer_tile` form without them.
//
//     project   y = X Omega, rows through all maps side by side
//     outer     X^T H over a slab of rows
//
// A block of four warps forms 64 x 64 results, 32 terms at a time from shared memory; a warp 32 x 32 of them.
// target: compute_80
// entries: project outer

#include "include/glsl.h"
#include "include/mma.h"

LVQ_KERNEL_BEGIN

#include "../shaders/include/lvq.glsl"

LOCAL_SIZE(128);

CONSTANT(1, OPERAND, 0);

BUFFER(0, readonly, float, x);
// The maps, or h.
BUFFER(1, readonly, float, b);
BUFFER(2, writeonly, float, result);

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
    // 1: d and l are whole fours.
    uint fours;
PUSH_END

#define TILE 64u
#define DEPTH 32u
// Words from one row of a tile to the next, where its terms lie side by side and where its rows do: lanes meet different banks.
#define BY_TERM 48u
#define BY_ROW 66u

FN uint width() const { return maps * l; }

// Four neighbours from `from` on; those from `left` on are not there.
FN float4 four(const float* from, uint left) const {
    if (fours != 0u && left >= 4u) {
        return *reinterpret_cast<const float4*>(from);
    }
    return make_float4(left > 0u ? from[0] : 0.0f, left > 1u ? from[1] : 0.0f, left > 2u ? from[2] : 0.0f,
                       left > 3u ? from[3] : 0.0f);
}
static FN uint beyond(uint at, uint end) { return at < end ? end - at : 0u; }

#ifdef ENTRY_project
// Rows of X by columns of the maps: column c is column c % l of map c / l.
FN uint rows() const { return n; }
FN uint first() const { return 0u; }
FN uint end() const { return d; }
// Terms q .. q + 3 of row r.
FN float4 a_at(uint q, uint r) const {
    return four(x + size_t(base + r) * d + q, r < n ? beyond(q, d) : 0u);
}
// Term q of columns c .. c + 3.
FN float4 b_at(uint q, uint c) const {
    if (maps == 1u) {
        return four(b + q * l + c, q < d ? beyond(c, l) : 0u);
    }
    float4 w = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    w.x = of_maps(q, c);
    w.y = of_maps(q, c + 1u);
    w.z = of_maps(q, c + 2u);
    w.w = of_maps(q, c + 3u);
    return w;
}
FN float of_maps(uint q, uint c) const {
    return q < d && c < width() ? b[(c / l * d + q) * l + c % l] : 0.0f;
}
FN void set(uint r, uint c, float sum) { result[size_t(r) * width() + c] = rounded(sum, OPERAND); }
#else
// Features of X by columns of H.
FN uint rows() const { return d; }
FN uint first() const { return blockIdx.z * slab; }
FN uint end() const { return min(first() + slab, n); }
// Term q of rows r .. r + 3.
FN float4 a_at(uint q, uint r) const {
    return four(x + size_t(base + q) * d + r, q < end() ? beyond(r, d) : 0u);
}
FN float4 b_at(uint q, uint c) const {
    return four(b + size_t(q) * width() + c, q < end() ? beyond(c, width()) : 0u);
}
FN void set(uint r, uint c, float sum) { result[(blockIdx.z * d + r) * width() + c] = sum; }
#endif

// What a thread brings of the next terms: four times four neighbours in memory of either operand.
struct Next {
    float4 a[4];
    float4 b[4];
};
FN void bring(Next& next, uint r0, uint c0, uint q0) const {
    LVQ_UNROLL for (uint k = 0u; k < 4u; k++) {
        const uint e = threadIdx.x + 128u * k;
#ifdef ENTRY_project
        next.a[k] = a_at(q0 + e % 8u * 4u, r0 + e / 8u);
#else
        next.a[k] = a_at(q0 + e / 16u, r0 + e % 16u * 4u);
#endif
        next.b[k] = b_at(q0 + e / 16u, c0 + e % 16u * 4u);
    }
}
static FN void put(float* by_row, const float4& four) {
    reinterpret_cast<float2*>(by_row)[0] = make_float2(four.x, four.y);
    reinterpret_cast<float2*>(by_row)[1] = make_float2(four.z, four.w);
}
static FN void store(const Next& next, float* as, float* bs) {
    LVQ_UNROLL for (uint k = 0u; k < 4u; k++) {
        const uint e = threadIdx.x + 128u * k;
#ifdef ENTRY_project
        *reinterpret_cast<float4*>(as + e / 8u * BY_TERM + e % 8u * 4u) = next.a[k];
#else
        put(as + e / 16u * BY_ROW + e % 16u * 4u, next.a[k]);
#endif
        put(bs + e / 16u * BY_ROW + e % 16u * 4u, next.b[k]);
    }
}

FN void main() {
    alignas(16) __shared__ float as[TILE * BY_TERM > DEPTH * BY_ROW ? TILE * BY_TERM : DEPTH * BY_ROW];
    alignas(16) __shared__ float bs[DEPTH * BY_ROW];
    const uint thread = threadIdx.x;
    const uint lane = thread % 32u;
    const uint g = lane / 4u;
    const uint t = lane % 4u;
    const uint wr = thread / 32u % 2u * 32u;
    const uint wc = thread / 64u * 32u;
    const uint columns = width();
    for (uint r0 = blockIdx.x * TILE; r0 < rows(); r0 += gridDim.x * TILE) {
        for (uint c0 = blockIdx.y * TILE; c0 < columns; c0 += gridDim.y * TILE) {
            float sums[2][4][4];
            clear(sums);
            Next next;
            bring(next, r0, c0, first());
            for (uint q0 = first(); q0 < end(); q0 += DEPTH) {
                store(next, as, bs);
                __syncthreads();
                bring(next, r0, c0, q0 + DEPTH);
                float part[2][4][4];
                clear(part);
                LVQ_UNROLL for (uint s = 0u; s < DEPTH; s += 16u) {
                    const uint q = s + 4u * t;
                    RowOperand<Operand::F32> a[2];
                    ColumnOperand<Operand::F32> w[4];
                    LVQ_UNROLL for (uint m = 0u; m < 2u; m++) {
                        const uint r = wr + 16u * m + g;
                        a[m].set(a_terms(as, r, q), a_terms(as, r + 8u, q));
                    }
                    LVQ_UNROLL for (uint k = 0u; k < 4u; k++) {
                        w[k].set(by_row(bs, wc + 8u * k + g, q));
                    }
                    multiply(part, a, w);
                }
                gather(sums, part);
                __syncthreads();
            }
            LVQ_UNROLL for (uint m = 0u; m < 2u; m++) {
                LVQ_UNROLL for (uint k = 0u; k < 4u; k++) {
                    LVQ_UNROLL for (uint e = 0u; e < 4u; e++) {
                        const uint r = r0 + wr + 16u * m + g + 8u * (e / 2u);
                        const uint c = c0 + wc + 8u * k + 2u * t + e % 2u;
                        if (r < rows() && c < columns) {
                            set(r, c, sums[m][k][e]);
                        }
                    }
                }
            }
        }
    }
}

static FN float4 by_row(const float* from, uint r, uint q) {
    return make_float4(from[q * BY_ROW + r], from[(q + 1u) * BY_ROW + r], from[(q + 2u) * BY_ROW + r],
                       from[(q + 3u) * BY_ROW + r]);
}
static FN float4 a_terms(const float* from, uint r, uint q) {
#ifdef ENTRY_project
    return *reinterpret_cast<const float4*>(from + r * BY_TERM + q);
#else
    return by_row(from, r, q);
#endif
}

LVQ_KERNEL_END
