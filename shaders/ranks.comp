#version 450

// Ranks (src/parts/cooperation/ranks.rs). `prepare`: weights by rank at the present range, heights exp(-r/(range + eps)) and their slopes
// by the range, then their sums over the first ranks; one workgroup. `count`: of each pair the rank, among all prototypes or among
// those of the class, 0 the nearest, ties by the lower index; by counting, an invocation a pair.
// entries: prepare count

#include "lvq.glsl"

#ifdef ENTRY_prepare

#include "workgroup.glsl"

layout(std430, binding = 0) readonly buffer Range { float range[]; };
layout(std430, binding = 1) coherent buffer Neighbourhood { float neighbourhood[]; };

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

#else

layout(local_size_x = 64) in;

layout(std430, binding = 0) readonly buffer Keys { float keys[]; };
layout(std430, binding = 1) readonly buffer Labels { uint labels[]; };
layout(std430, binding = 2) writeonly buffer Ranks { uint ranks[]; };

layout(push_constant) uniform Sizes {
    uint n;
    uint p;
    uint stride;
    // 1: within the class.
    uint within;
};

void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i >= n) {
        return;
    }
    for (uint j = gl_WorkGroupID.y; j < p; j += gl_NumWorkGroups.y) {
        float own = keys[j * stride + i];
        uint rank = 0u;
        for (uint k = 0u; k < p; k++) {
            float other = keys[k * stride + i];
            bool before = other < own || (other == own && k < j);
            rank += before && (within == 0u || labels[k] == labels[j]) ? 1u : 0u;
        }
        ranks[j * stride + i] = rank;
    }
}

#endif
