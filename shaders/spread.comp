#version 450

// The additive spread of Wasserstein LVQ (src/parts/metric/spread.rs): D + sum_a exp(v_ja); dv_ja = (sum_i G_ij) exp(v_ja).
// entries: prepare finish

#include "lvq.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) readonly buffer Variances { float log_variances[]; };
layout(std430, binding = 1) buffer Affine { float affine[]; };

layout(push_constant) uniform Sizes {
    uint p;
    uint d;
};

#ifdef ENTRY_prepare

void main() {
    uint j = gl_GlobalInvocationID.x;
    if (j < p) {
        float sum = 0.0f;
        for (uint a = 0u; a < d; a++) {
            sum += exp(log_variances[j * d + a]);
        }
        affine[j] = sum;
    }
}

#else

layout(std430, binding = 2) readonly buffer Totals { float totals[]; };
layout(std430, binding = 3) readonly buffer Dynamic { float dynamic[]; };
layout(std430, binding = 4) writeonly buffer Gradient { float gradient[]; };

void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * d; e += gl_NumWorkGroups.x * 64u) {
        uint j = e / d;
        gradient[e] = totals[j] * affine[p + j] * exp(log_variances[e]) / dynamic[0];
    }
}

#endif
