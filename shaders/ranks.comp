// Ranks (src/parts/cooperation/ranks.rs). `prepare`: weights by rank at the present range, heights exp(-r/(range + eps)) and their slopes
// by the range, then their sums over the first ranks; one workgroup. `count`: of each pair the rank, among all prototypes or among
// those of the class, 0 the nearest, ties by the lower index; by counting, an invocation a pair.
// entries: prepare count

#include "lvq.glsl"

#ifdef ENTRY_prepare

#include "workgroup.glsl"

BUFFER(0, readonly, float, range);
BUFFER(1, coherent, float, neighbourhood);

PUSH_BEGIN
    uint p;
PUSH_END

FN void main() {
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

LOCAL_SIZE(64);

BUFFER(0, readonly, float, keys);
BUFFER(1, readonly, uint, labels);
BUFFER(2, writeonly, uint, ranks);

PUSH_BEGIN
    uint n;
    uint p;
    uint stride;
    // 1: within the class.
    uint within;
PUSH_END

#include "count_ranks.glsl"

FN void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i >= n) {
        return;
    }
    for (uint j0 = gl_WorkGroupID.y * 8u; j0 < p; j0 += gl_NumWorkGroups.y * 8u) {
        count_ranks(i, j0);
    }
}

#endif
