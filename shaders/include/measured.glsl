// An update that needs norms of the whole block first. A part has
//
//     void measure(uint e, float theta, float g, Numbers n, OUT(float) x, OUT(float) y)    two vectors' elements; moves the state
//     float factor(float x, float y, Numbers n)                                            what comes of their norms; by one invocation
//     float change(uint e, float theta, float g, float f, Numbers n)                       what is added to parameter e
//
// With PRODUCT, `factor` is given sum x y in place of the norms. Elements below 2^-50 are summed apart and enlarged: their squares
// would vanish.

#include "workgroup.glsl"

// 0 sums of slabs, 1 the factor, 2 the change; 3 all of it, by one workgroup.
CONSTANT(0, PART, 3);

SHARED(float, factor_, 1);

#define TINY 8.8817841970012523e-16f
#define ENLARGED 18446744073709551616.0f

FN void add_square(float v, INOUT(float) sum, INOUT(float) tiny) {
    if (abs(v) < TINY) {
        v *= ENLARGED;
        tiny += v * v;
    } else {
        sum += v * v;
    }
}

FN float norm(float sum, float tiny) {
    return sum > 0.0f ? sqrt(sum + tiny / ENLARGED / ENLARGED) : sqrt(tiny) / ENLARGED;
}

FN void main() {
    Numbers n = numbers[block];
    float sums[4];
    for (uint k = 0u; k < 4u; k++) {
        sums[k] = 0.0f;
    }
    if (PART == 0u || PART == 3u) {
        for (uint e = gl_GlobalInvocationID.x; e < count; e += gl_NumWorkGroups.x * WIDTH) {
            float x;
            float y;
            measure(e, theta[e], gradient[e], n, x, y);
#ifdef PRODUCT
            sums[0] += x * y;
#else
            add_square(x, sums[0], sums[1]);
            add_square(y, sums[2], sums[3]);
#endif
        }
    } else if (PART == 1u) {
        for (uint s = lane(); s < slabs; s += WIDTH) {
            for (uint k = 0u; k < 4u; k++) {
                sums[k] += small[room + 1u + 4u * s + k];
            }
        }
    }
    if (PART != 2u) {
        for (uint k = 0u; k < 4u; k++) {
            sums[k] = total(sums[k]);
        }
        if (lane() == 0u) {
            if (PART == 0u) {
                for (uint k = 0u; k < 4u; k++) {
                    small[room + 1u + 4u * gl_WorkGroupID.x + k] = sums[k];
                }
            } else {
#ifdef PRODUCT
                factor_[0] = factor(sums[0], 0.0f, n);
#else
                factor_[0] = factor(norm(sums[0], sums[1]), norm(sums[2], sums[3]), n);
#endif
                small[room] = factor_[0];
            }
        }
    }
    if (PART == 2u || PART == 3u) {
        barrier();
        float f = PART == 3u ? factor_[0] : small[room];
        for (uint e = gl_GlobalInvocationID.x; e < count; e += gl_NumWorkGroups.x * WIDTH) {
            theta[e] += change(e, theta[e], gradient[e], f, n);
        }
    }
}
