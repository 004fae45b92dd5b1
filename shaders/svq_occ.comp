// SVQ-OCC: the confusion matrix of the contrastive cost, the cost, the score.
// entries: detect ranks_all score

#include "rows.glsl"
#include "options.glsl"
#include "ranks.glsl"
#include "svq_occ.glsl"

#ifdef ENTRY_ranks_all
#include "each_row.glsl"
#else
FN void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i < n) {
#ifdef ENTRY_detect
        detect(i);
#else
        outcome[i] = target_score(i);
#endif
    }
}
#endif
