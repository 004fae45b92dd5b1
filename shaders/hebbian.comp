#version 450

// The update rules of LVQ1 and LVQ2.1: `rows` says which prototypes a row attracts and repels, `move` moves them by
// rate / N_j sum s (x - w_j). Those without rows stay.
// entries: rows move

#ifdef ENTRY_rows

#include "rows.glsl"
#include "options.glsl"
#include "nearest_pair.glsl"
#include "hebbian.glsl"
#include "each_row.glsl"

#else

#include "lvq.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) readonly buffer Pulls { float pulls[]; };
layout(std430, binding = 1) readonly buffer Counts { float counts[]; };
layout(std430, binding = 2) readonly buffer Dynamic { float dynamic[]; };
layout(std430, binding = 3) buffer Prototypes { float prototypes[]; };

layout(push_constant) uniform Sizes {
    uint p;
    uint d;
};

void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * d; e += gl_NumWorkGroups.x * 64u) {
        float count = counts[e / d];
        if (count > 0.0f) {
            prototypes[e] += dynamic[3] / count * pulls[e];
        }
    }
}

#endif
