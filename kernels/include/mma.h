// Products of small tiles on the tensor cores (compute capability 8.0 and later), and copies to shared memory that need no thread to wait.
// On the host the same by plain loops: lanes of a warp exchange what they hold.
//
// Operands come sixteen terms at a time. Of a row (or column) a lane of number `t` in its group of four holds terms 4t .. 4t + 3, one
// load of four floats. The order of the terms within a product is ours to choose, as long as both operands have the same.
#pragma once

#include "lvq.h"

LVQ_NAMESPACE {

// What operands are: f32 (each as a sum of two tf32, of which the three larger products are formed), tf32, bf16, f16.
enum class Operand { F32, Tf32, Bf16, F16 };

#if defined(__CUDACC__)

// c += a b: 16 x 8 terms by 8 x 8, of tf32.
static __device__ __forceinline__ void mma_tf32(float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                                                unsigned b0, unsigned b1) {
    asm(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// c += a b: 16 x 16 terms by 16 x 8, of half precision; a word has two.
template <Operand OPERAND>
static __device__ __forceinline__ void mma_half(float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                                                unsigned b0, unsigned b1) {
    if (OPERAND == Operand::Bf16) {
        asm(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    } else {
        asm(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    }
}

// Two numbers, exact in half precision, as one word; the first in its lower half.
template <Operand OPERAND>
static __device__ __forceinline__ unsigned pack(float low, float high) {
    unsigned word;
    if (OPERAND == Operand::Bf16) {
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    } else {
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    }
    return word;
}

static __device__ __forceinline__ float half_to_float(unsigned short bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}

// Begins to copy 16 (or 4) bytes to shared memory; zeros where `there` does not hold.
static __device__ __forceinline__ void copy16(void* to, const void* from, bool there) {
    const unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(there ? 16 : 0) : "memory");
}
static __device__ __forceinline__ void copy4(void* to, const void* from, bool there) {
    const unsigned at = static_cast<unsigned>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at), "l"(from), "r"(there ? 4 : 0) : "memory");
}
// Copies begun since the last call are one group; waits until at most `LEFT` groups run.
static __device__ __forceinline__ void copies_begun() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LEFT>
static __device__ __forceinline__ void copies_done() {
    asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

#else

template <class Of>
inline void mma_by_loops(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], unsigned terms, Of of) {
    struct {
        const unsigned* a;
        const unsigned* b;
    } mine{a, b};
    const void* address = &mine;
    const unsigned lane = lvq_host::lane();
    float sums[4] = {c[0], c[1], c[2], c[3]};
    const uint64_t own = reinterpret_cast<uint64_t>(address);
    uint64_t all[32];
    lvq_host::gather(own, all);
    auto at = [&](unsigned l) { return reinterpret_cast<decltype(&mine)>(all[l]); };
    for (unsigned e = 0; e < 4; ++e) {
        const unsigned row = lane / 4 + 8 * (e / 2), column = 2 * (lane % 4) + e % 2;
        // Term k of a row lies in lane k / each of its group.
        for (unsigned k = 0; k < terms; ++k) {
            const unsigned each = terms / 8, t = k / each % 4, half = k / each / 4;
            const unsigned wa = at(4 * (row % 8) + t)->a[row / 8 + 2 * half];
            const unsigned wb = at(4 * column + t)->b[half];
            sums[e] += of(wa, k % each) * of(wb, k % each);
        }
    }
    for (unsigned e = 0; e < 4; ++e) c[e] = sums[e];
    // Nobody may go on before all have read.
    __syncwarp();
}

inline void mma_tf32(float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
    const unsigned a[4] = {a0, a1, a2, a3}, b[2] = {b0, b1};
    mma_by_loops(c, a, b, 8, [](unsigned word, unsigned) { return __uint_as_float(word & 0xffffe000u); });
}

inline float half_to_float(unsigned short bits) {
    const unsigned exponent = bits >> 10 & 31u, fraction = bits & 1023u, sign = unsigned(bits & 0x8000u) << 16;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * float(fraction) * 5.9604644775390625e-8f;
    return __uint_as_float(sign | (exponent + 112u) << 23 | fraction << 13);
}

template <Operand OPERAND>
inline float unpacked(unsigned word, unsigned which) {
    const unsigned bits = which ? word >> 16 : word & 0xffffu;
    return OPERAND == Operand::Bf16 ? __uint_as_float(bits << 16) : half_to_float((unsigned short)bits);
}

template <Operand OPERAND>
inline void mma_half(float (&c)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
    const unsigned a[4] = {a0, a1, a2, a3}, b[2] = {b0, b1};
    mma_by_loops(c, a, b, 16, [](unsigned word, unsigned which) { return unpacked<OPERAND>(word, which); });
}

// What is given is exact in half precision: nothing is rounded.
template <Operand OPERAND>
inline unsigned pack(float low, float high) {
    auto one = [](float x) -> unsigned {
        const unsigned bits = __float_as_uint(x);
        if (OPERAND == Operand::Bf16) return bits >> 16;
        const unsigned sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
        if (magnitude >= 0x7f800000u) return sign | 0x7c00u | (magnitude > 0x7f800000u ? 0x200u : 0u);
        if (magnitude < 0x38800000u) return sign | unsigned(__uint_as_float(magnitude) * 16777216.0f);
        return sign | ((magnitude >> 13) - 0x1c000u);
    };
    return one(low) | one(high) << 16;
}

inline void copy16(void* to, const void* from, bool there) {
    if (there) memcpy(to, from, 16);
    else memset(to, 0, 16);
}
inline void copy4(void* to, const void* from, bool there) {
    if (there) memcpy(to, from, 4);
    else memset(to, 0, 4);
}
inline void copies_begun() {}
template <int LEFT>
inline void copies_done() {}

#endif

// Sixteen terms of sixteen rows: what a lane holds of rows g and g + 8, as operands.
template <Operand OPERAND>
struct RowOperand {
    unsigned words[4];
    __device__ __forceinline__ void set(const float4& low, const float4& high) {
        words[0] = pack<OPERAND>(low.x, low.y);
        words[1] = pack<OPERAND>(high.x, high.y);
        words[2] = pack<OPERAND>(low.z, low.w);
        words[3] = pack<OPERAND>(high.z, high.w);
    }
};

// Sixteen terms of eight columns.
template <Operand OPERAND>
struct ColumnOperand {
    unsigned words[2];
    __device__ __forceinline__ void set(const float4& w) {
        words[0] = pack<OPERAND>(w.x, w.y);
        words[1] = pack<OPERAND>(w.z, w.w);
    }
    // As they were prepared.
    __device__ __forceinline__ void set(const uint2& w) {
        words[0] = w.x;
        words[1] = w.y;
    }
};

// The tensor cores ignore the bits that tf32 does not have: what is given is exact in it.
template <>
struct RowOperand<Operand::Tf32> {
    unsigned words[8];
    __device__ __forceinline__ void set(const float4& low, const float4& high) {
        words[0] = __float_as_uint(low.x);
        words[1] = __float_as_uint(high.x);
        words[2] = __float_as_uint(low.y);
        words[3] = __float_as_uint(high.y);
        words[4] = __float_as_uint(low.z);
        words[5] = __float_as_uint(high.z);
        words[6] = __float_as_uint(low.w);
        words[7] = __float_as_uint(high.w);
    }
};

template <>
struct ColumnOperand<Operand::Tf32> {
    unsigned words[4];
    __device__ __forceinline__ void set(const float4& w) {
        words[0] = __float_as_uint(w.x);
        words[1] = __float_as_uint(w.y);
        words[2] = __float_as_uint(w.z);
        words[3] = __float_as_uint(w.w);
    }
};

// x = large + small + an error below 2^-21 |x|; both are exact in tf32 (the tensor cores ignore the last bits).
static __device__ __forceinline__ void split(float x, unsigned& large, unsigned& small) {
    large = __float_as_uint(x) & 0xffffe000u;
    small = __float_as_uint(x - __uint_as_float(large));
}

template <>
struct RowOperand<Operand::F32> {
    unsigned large[8];
    unsigned small[8];
    __device__ __forceinline__ void set(const float4& low, const float4& high) {
        split(low.x, large[0], small[0]);
        split(high.x, large[1], small[1]);
        split(low.y, large[2], small[2]);
        split(high.y, large[3], small[3]);
        split(low.z, large[4], small[4]);
        split(high.z, large[5], small[5]);
        split(low.w, large[6], small[6]);
        split(high.w, large[7], small[7]);
    }
};

template <>
struct ColumnOperand<Operand::F32> {
    unsigned large[4];
    unsigned small[4];
    __device__ __forceinline__ void set(const float4& w) {
        split(w.x, large[0], small[0]);
        split(w.y, large[1], small[1]);
        split(w.z, large[2], small[2]);
        split(w.w, large[3], small[3]);
    }
};

// d[m][k] += a[m] b[k] over sixteen terms. A product on the tensor cores takes long and the next into the same sum waits for it: those into
// other sums come between.
template <unsigned M, unsigned K, Operand OPERAND>
static __device__ __forceinline__ void multiply(float (&d)[M][K][4], const RowOperand<OPERAND> (&a)[M],
                                                const ColumnOperand<OPERAND> (&b)[K]) {
    LVQ_UNROLL for (unsigned m = 0; m < M; ++m) {
        LVQ_UNROLL for (unsigned k = 0; k < K; ++k) {
            const unsigned* const w = a[m].words;
            mma_half<OPERAND>(d[m][k], w[0], w[1], w[2], w[3], b[k].words[0], b[k].words[1]);
        }
    }
}

template <unsigned M, unsigned K>
static __device__ __forceinline__ void multiply(float (&d)[M][K][4], const RowOperand<Operand::Tf32> (&a)[M],
                                                const ColumnOperand<Operand::Tf32> (&b)[K]) {
    LVQ_UNROLL for (unsigned s = 0; s < 2; ++s) {
        LVQ_UNROLL for (unsigned m = 0; m < M; ++m) {
            const unsigned* const x = a[m].words + 4 * s;
            LVQ_UNROLL for (unsigned k = 0; k < K; ++k) {
                mma_tf32(d[m][k], x[0], x[1], x[2], x[3], b[k].words[2 * s], b[k].words[2 * s + 1]);
            }
        }
    }
}

// The small products first: small large, large small, large large.
template <unsigned M, unsigned K>
static __device__ __forceinline__ void multiply(float (&d)[M][K][4], const RowOperand<Operand::F32> (&a)[M],
                                                const ColumnOperand<Operand::F32> (&b)[K]) {
    LVQ_UNROLL for (unsigned kind = 0; kind < 3; ++kind) {
        LVQ_UNROLL for (unsigned s = 0; s < 2; ++s) {
            LVQ_UNROLL for (unsigned m = 0; m < M; ++m) {
                const unsigned* const x = (kind == 0 ? a[m].small : a[m].large) + 4 * s;
                LVQ_UNROLL for (unsigned k = 0; k < K; ++k) {
                    const unsigned* const w = (kind == 1 ? b[k].small : b[k].large) + 2 * s;
                    mma_tf32(d[m][k], x[0], x[1], x[2], x[3], w[0], w[1]);
                }
            }
        }
    }
}

// d += part, and part = 0. The tensor cores cut off what they add up: only a few terms are left to them.
template <unsigned M, unsigned K>
static __device__ __forceinline__ void gather(float (&d)[M][K][4], float (&part)[M][K][4]) {
    LVQ_UNROLL for (unsigned m = 0; m < M; ++m) {
        LVQ_UNROLL for (unsigned k = 0; k < K; ++k) {
            LVQ_UNROLL for (unsigned e = 0; e < 4; ++e) {
                d[m][k][e] += part[m][k][e];
                part[m][k][e] = 0.0f;
            }
        }
    }
}

// d = 0.
template <unsigned M, unsigned K>
static __device__ __forceinline__ void clear(float (&d)[M][K][4]) {
    LVQ_UNROLL for (unsigned m = 0; m < M; ++m) {
        LVQ_UNROLL for (unsigned k = 0; k < K; ++k) {
            LVQ_UNROLL for (unsigned e = 0; e < 4; ++e) {
                d[m][k][e] = 0.0f;
            }
        }
    }
}

// What a lane takes of eight prepared prototypes for sixteen terms: four words, or two of half precision.
template <Operand OPERAND>
struct TakenBy {
    using type = uint2;
};
template <>
struct TakenBy<Operand::F32> {
    using type = float4;
};
template <>
struct TakenBy<Operand::Tf32> {
    using type = float4;
};

}  // LVQ_NAMESPACE
