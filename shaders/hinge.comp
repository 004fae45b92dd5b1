// Margin loss on the scores of reasoning: `detect` forms similarities, `scores` the class scores, `reasoning` loss and slopes by score,
// `slopes` those by key. An invocation has a row and, along y, a component or a class.
// entries: detect scores reasoning slopes

#include "rows.glsl"
#include "options.glsl"
#include "reasoning.glsl"

#ifdef ENTRY_reasoning

#include "hinge.glsl"
#include "each_row.glsl"

#else

FN void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i >= n) {
        return;
    }
#ifdef ENTRY_scores
    uint count = classes;
#else
    uint count = p;
#endif
    for (uint j = gl_WorkGroupID.y; j < count; j += gl_NumWorkGroups.y) {
#if defined(ENTRY_detect)
        detect(i, j);
#elif defined(ENTRY_scores)
        score(i, j);
#else
        slope(i, j);
#endif
    }
}

#endif
