#version 450

// Rows of the data in the order of a batch: to[k] = from[rows[k]], `d` words each.

#include "lvq.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) readonly buffer From { float from[]; };
layout(std430, binding = 1) readonly buffer Rows { uint rows[]; };
layout(std430, binding = 2) writeonly buffer To { float to[]; };

layout(push_constant) uniform Sizes {
    uint n;
    uint d;
};

void main() {
    for (uint e = gl_GlobalInvocationID.x; e < n * d; e += gl_NumWorkGroups.x * 64u) {
        to[e] = from[rows[e / d] * d + e % d];
    }
}
