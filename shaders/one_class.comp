// One-class LVQ: cost at the nearest prototype, or at all of them, weighted; and the score of a row.
// entries: winner weighted score

#include "rows.glsl"
#include "options.glsl"
#include "map.glsl"
#include "transfer.glsl"
#include "one_class.glsl"
#include "winner.glsl"
#include "posterior.glsl"
#include "ranks.glsl"
#include "ranked_posterior.glsl"

#ifdef ENTRY_winner
#include "one_class_winner.glsl"
#endif
#ifdef ENTRY_weighted
#include "one_class_weighted.glsl"
#endif
#ifdef ENTRY_score
#include "one_class_score.glsl"

FN void row(uint i) {
    outcome[i] = target_score(i);
}
#endif

#include "each_row.glsl"
