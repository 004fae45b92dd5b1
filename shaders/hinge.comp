#version 450

// Margin loss on the scores of reasoning, and the scores alone.
// entries: reasoning scores

#include "rows.glsl"
#include "options.glsl"
#include "ranks.glsl"
#include "reasoning.glsl"

#ifdef ENTRY_reasoning
#include "hinge.glsl"
#else
FN void row(uint i) {
    scores(i);
    for (uint c = 0u; c < classes; c++) {
        outcome[c * stride + i] = room[(classes + c) * stride + i];
    }
}
#endif

#include "each_row.glsl"
