// The rate of the tensor cores, measured: products of small tiles in registers alone. A round is 16 a warp, each into sums of its own.
// target: compute_80
// entries: tf32 bf16 f16

#include "include/glsl.h"
#include "include/mma.h"

LVQ_KERNEL_BEGIN

#include "../shaders/include/lvq.glsl"

LOCAL_SIZE(256);

BUFFER(0, writeonly, float, to);

PUSH_BEGIN
    uint rounds;
PUSH_END

FN void main() {
    float sums[16][4];
    LVQ_UNROLL for (uint k = 0u; k < 16u; k++) {
        LVQ_UNROLL for (uint e = 0u; e < 4u; e++) {
            sums[k][e] = 0.0f;
        }
    }
    // Small numbers of many bits, as tf32 and as two halves.
    uint a[4];
    uint b[2];
    LVQ_UNROLL for (uint e = 0u; e < 4u; e++) {
        a[e] = 0x30013001u + 0x00330033u * ((threadIdx.x + e) % 32u);
    }
    LVQ_UNROLL for (uint e = 0u; e < 2u; e++) {
        b[e] = 0x30053005u + 0x00170017u * ((threadIdx.x + e) % 32u);
    }
    for (uint round = 0u; round < rounds; round++) {
        LVQ_UNROLL for (uint k = 0u; k < 16u; k++) {
#if defined(ENTRY_tf32)
            mma_tf32(sums[k], a[0], a[1], a[2], a[3], b[0], b[1]);
#elif defined(ENTRY_bf16)
            mma_half<Operand::Bf16>(sums[k], a[0], a[1], a[2], a[3], b[0], b[1]);
#else
            mma_half<Operand::F16>(sums[k], a[0], a[1], a[2], a[3], b[0], b[1]);
#endif
        }
    }
    float all = 0.0f;
    LVQ_UNROLL for (uint k = 0u; k < 16u; k++) {
        LVQ_UNROLL for (uint e = 0u; e < 4u; e++) {
            all += sums[k][e];
        }
    }
    // Never so: the sums are wanted, and nothing is written.
    if (all == -1.0f) {
        to[0] = all;
    }
}

LVQ_KERNEL_END
