#version 450

// Values raised to a floor and lowered to a ceiling (src/parts/constraint/mod.rs).

#include "lvq.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) buffer Values { float values[]; };

layout(push_constant) uniform Sizes {
    uint n;
    float least;
    float most;
};

void main() {
    for (uint e = gl_GlobalInvocationID.x; e < n; e += gl_NumWorkGroups.x * 64u) {
        // NaN stays NaN: it is found and named, not hidden.
        float v = values[e];
        values[e] = v < least ? least : (v > most ? most : v);
    }
}
