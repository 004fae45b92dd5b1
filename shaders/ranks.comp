#version 450

// Weights by rank at the present range (src/parts/cooperation/ranks.rs): heights exp(-r/(range + eps)) and their slopes by the range, then
// their sums over the first ranks. One workgroup.
// entries: prepare

#include "lvq.glsl"
#include "workgroup.glsl"

layout(std430, binding = 0) readonly buffer Range { float range[]; };
layout(std430, binding = 1) buffer Neighbourhood { float neighbourhood[]; };

layout(push_constant) uniform Sizes {
    uint p;
};

void main() {
    float width = range[0] + EPS;
    for (uint r = lane(); r < p; r += WIDTH) {
        float x = float(r) / width;
        neighbourhood[r] = exp(-x);
        neighbourhood[p + r] = exp(-x) * x / width;
    }
    memoryBarrierBuffer();
    barrier();
    if (lane() == 0u) {
        float sum = 0.0f;
        float slopes = 0.0f;
        for (uint m = 0u; m <= p; m++) {
            neighbourhood[2u * p + m] = sum;
            neighbourhood[3u * p + 1u + m] = slopes;
            if (m < p) {
                sum += neighbourhood[m];
                slopes += neighbourhood[p + m];
            }
        }
    }
}
