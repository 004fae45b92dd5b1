#version 450

// The Gaussian kernel's exponent with a bandwidth per prototype (src/parts/kernel/bandwidth.rs): u = q / (2 s^2), s = max(sigma, floor);
// du/dsigma = -2 u / s, half of it at the floor, nothing below.
// entries: prepare finish

#include "lvq.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) readonly buffer Sigmas { float sigmas[]; };
layout(std430, binding = 1) buffer Affine { float affine[]; };

layout(push_constant) uniform Sizes {
    uint p;
    float least;
};

#ifdef ENTRY_prepare

void main() {
    uint j = gl_GlobalInvocationID.x;
    if (j < p) {
        float s = max(sigmas[j], least);
        affine[p + j] = 0.5f / s / s;
    }
}

#else

// sum_i G_ij u_ij, from word p on.
layout(std430, binding = 2) readonly buffer Totals { float totals[]; };
layout(std430, binding = 3) readonly buffer Dynamic { float dynamic[]; };
layout(std430, binding = 4) writeonly buffer Gradient { float gradient[]; };

void main() {
    uint j = gl_GlobalInvocationID.x;
    if (j < p) {
        float s = sigmas[j];
        float passes = s > least ? 1.0f : (s == least ? 0.5f : 0.0f);
        gradient[j] = -2.0f * passes * totals[p + j] / max(s, least) / dynamic[0];
    }
}

#endif
