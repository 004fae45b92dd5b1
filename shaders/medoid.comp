#version 450

// The update rule of Median LVQ: `rows` weighs the rows. For the squared Euclidean distance the row of least score is the one nearest
// to the weighted mean: `mean` forms it (W_j in `totals`), and `choose` finds among the rows of the prototype's class that count the
// first that is nearest, of this chunk and of those before.
// entries: rows mean choose

#if defined(ENTRY_rows)

#include "rows.glsl"
#include "options.glsl"
#include "nearest_pair.glsl"
#include "medoid.glsl"
#include "each_row.glsl"

#elif defined(ENTRY_mean)

#include "lvq.glsl"

layout(local_size_x = 64) in;

layout(std430, binding = 0) readonly buffer Pulls { float pulls[]; };
layout(std430, binding = 1) readonly buffer Totals { float totals[]; };
layout(std430, binding = 2) buffer W { float w[]; };

layout(push_constant) uniform Sizes {
    uint p;
    uint d;
};

void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * d; e += gl_NumWorkGroups.x * 64u) {
        float sum = totals[e / d];
        w[e] += sum > 0.0f ? pulls[e] / sum : 0.0f;
    }
}

#else

#include "lvq.glsl"
#include "workgroup.glsl"

layout(std430, binding = 0) readonly buffer Keys { float keys[]; };
layout(std430, binding = 1) readonly buffer Codes { uint codes[]; };
layout(std430, binding = 2) readonly buffer Factors { float factors[]; };
layout(std430, binding = 3) readonly buffer Labels { uint labels[]; };
layout(std430, binding = 4) readonly buffer Totals { float totals[]; };
// The least distance of each prototype so far; its row.
layout(std430, binding = 5) buffer Least { float least[]; };
layout(std430, binding = 6) buffer Chosen { uint chosen[]; };

layout(push_constant) uniform Sizes {
    uint n;
    uint p;
    uint stride;
    uint base;
    uint first;
};

shared uint rows[256];

void main() {
    for (uint j = gl_WorkGroupID.x; j < p; j += gl_NumWorkGroups.x) {
        float best = LARGEST;
        uint at = NONE;
        // Weights that sum to 0 make all scores equal: the first row.
        bool equal = totals[j] <= 0.0f;
        for (uint i = lane(); i < n; i += WIDTH) {
            float d = equal ? 0.0f : keys[j * stride + i];
            if (codes[base + i] == labels[j] && factors[base + i] > 0.0f && (at == NONE || d < best)) {
                best = d;
                at = base + i;
            }
        }
        shared_[lane()] = best;
        rows[lane()] = at;
        barrier();
        if (lane() == 0u) {
            best = first != 0u ? LARGEST : least[j];
            at = first != 0u ? NONE : chosen[j];
            for (uint t = 0u; t < WIDTH; t++) {
                bool better = at == NONE || shared_[t] < best || (shared_[t] == best && rows[t] < at);
                if (rows[t] != NONE && better) {
                    best = shared_[t];
                    at = rows[t];
                }
            }
            least[j] = best;
            chosen[j] = at;
        }
        barrier();
    }
}

#endif
