#version 450

// Prototypes as the metric sees them: w - c, rounded as operands are. The centre comes in two parts, so that a centre far from 0
// costs no digits.

#include "lvq.glsl"

layout(local_size_x = 64) in;

layout(constant_id = 1) const uint OPERAND = 0;

layout(std430, binding = 0) readonly buffer From { float from[]; };
layout(std430, binding = 1) readonly buffer Centre { float centre[]; };
layout(std430, binding = 2) writeonly buffer To { float to[]; };

layout(push_constant) uniform Sizes {
    uint p;
    uint d;
};

void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * d; e += gl_NumWorkGroups.x * 64u) {
        uint a = e % d;
        precise float v = from[e] - centre[a];
        v = v - centre[d + a];
        to[e] = rounded(v, OPERAND);
    }
}
