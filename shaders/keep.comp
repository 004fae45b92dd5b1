#version 450

// What a step leaves for the host to read later: its loss into losses[flags + step], and of each flag whether it was ever set. One
// invocation.

#include "lvq.glsl"

layout(local_size_x = 1) in;

layout(std430, binding = 0) readonly buffer Totals { float totals[]; };
layout(std430, binding = 1) buffer Losses { float losses[]; };
layout(std430, binding = 2) readonly buffer Dynamic { float dynamic[]; };

layout(push_constant) uniform Sizes {
    // Flags, and where they begin in the totals.
    uint flags;
    uint first;
};

void main() {
    for (uint t = 0u; t < flags; t++) {
        losses[t] = max(losses[t], totals[first + t]);
    }
    losses[flags + uint(dynamic[8])] = totals[0];
}
