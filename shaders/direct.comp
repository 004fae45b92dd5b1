#version 450

// Gradients of prototypes that no map stands before: dW = c P + b_j w_j.
// entries: prototypes

#include "lvq.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) readonly buffer Pulls { float pulls[]; };
layout(std430, binding = 1) readonly buffer W { float w[]; };
layout(std430, binding = 2) readonly buffer B { float b[]; };
layout(std430, binding = 3) readonly buffer Dynamic { float dynamic[]; };
layout(std430, binding = 4) writeonly buffer Gradient { float gradient[]; };

layout(push_constant) uniform Sizes {
    uint p;
    uint d;
    float c;
};

void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * d; e += gl_NumWorkGroups.x * 64u) {
        gradient[e] = (c * pulls[e] + b[e / d] * w[e]) / dynamic[0];
    }
}
