// The device's limits, measured: arithmetic in registers alone (a round is 64 products with sums an invocation), and a copy of n words.
// entries: f32 copy

#include "lvq.glsl"

LOCAL_SIZE(256);

BUFFER(0, writeonly, float, to);

#ifdef ENTRY_copy

BUFFER(1, readonly, float, from);

PUSH_BEGIN
    uint n;
PUSH_END

#define EACH 8u

FN void main() {
    uint whole = n - n % (256u * EACH);
    for (uint e0 = gl_WorkGroupID.x * 256u * EACH; e0 < whole; e0 += gl_NumWorkGroups.x * 256u * EACH) {
        float words[EACH];
        UNROLL for (uint k = 0u; k < EACH; k++) {
            words[k] = from[e0 + 256u * k + gl_LocalInvocationIndex];
        }
        UNROLL for (uint k = 0u; k < EACH; k++) {
            to[e0 + 256u * k + gl_LocalInvocationIndex] = words[k];
        }
    }
}

#else

PUSH_BEGIN
    uint rounds;
PUSH_END

FN void main() {
    float sums[8];
    UNROLL for (uint k = 0u; k < 8u; k++) {
        sums[k] = float(gl_LocalInvocationIndex + k);
    }
    float a = 0.999f;
    float b = 1.0e-3f * float(gl_LocalInvocationIndex);
    for (uint round_ = 0u; round_ < rounds; round_++) {
        UNROLL for (uint e = 0u; e < 8u; e++) {
            UNROLL for (uint k = 0u; k < 8u; k++) {
                sums[k] = sums[k] * a + b;
            }
        }
    }
    float all = 0.0f;
    UNROLL for (uint k = 0u; k < 8u; k++) {
        all += sums[k];
    }
    // Never so: the sums are wanted, and nothing is written.
    if (all == -1.0f) {
        to[0] = all;
    }
}

#endif
