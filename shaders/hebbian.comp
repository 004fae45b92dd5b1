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

LOCAL_SIZE(64);

BUFFER(0, readonly, float, pulls);
BUFFER(1, readonly, float, counts);
BUFFER(2, readonly, float, dynamic);
BUFFER(3, READ_WRITE, float, prototypes);

PUSH_BEGIN
    uint p;
    uint d;
PUSH_END

FN void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * d; e += gl_NumWorkGroups.x * 64u) {
        float count = counts[e / d];
        if (count > 0.0f) {
            prototypes[e] += dynamic[3] / count * pulls[e];
        }
    }
}

#endif
