#version 450

// Whether a tensor has a value that is not finite: flags[at] = 1, else 0. One workgroup.

#include "lvq.glsl"
#include "workgroup.glsl"

layout(std430, binding = 0) readonly buffer Values { uint values[]; };
layout(std430, binding = 1) buffer Flags { float flags[]; };

layout(push_constant) uniform Sizes {
    uint n;
    uint at;
};

void main() {
    float bad = 0.0f;
    for (uint e = lane(); e < n; e += WIDTH) {
        bad = (values[e] & 0x7f800000u) == 0x7f800000u ? 1.0f : bad;
    }
    bad = largest(bad);
    if (lane() == 0u) {
        flags[at] = bad;
    }
}
