#version 450

// Averages and copies of tensors: to <- to + a (from - to), a from the step's numbers; `copy` copies exactly.
// entries: blend copy

#include "lvq.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) buffer To { float to[]; };
layout(std430, binding = 1) readonly buffer From { float from[]; };
layout(std430, binding = 2) readonly buffer Dynamic { float dynamic[]; };

layout(push_constant) uniform Sizes {
    uint n;
};

void main() {
    float a = dynamic[7];
    for (uint e = gl_GlobalInvocationID.x; e < n; e += gl_NumWorkGroups.x * 64u) {
#ifdef ENTRY_copy
        to[e] = from[e];
#else
        to[e] = a == 1.0f ? from[e] : to[e] + a * (from[e] - to[e]);
#endif
    }
}
