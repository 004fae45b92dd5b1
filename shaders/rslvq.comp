// Robust soft LVQ: with responsibilities, or with responsibilities times rank weights.
// entries: posterior posterior_ranks

#include "rows.glsl"
#include "options.glsl"
#include "map.glsl"
#include "posterior.glsl"

#ifdef ENTRY_posterior
#include "rslvq_posterior.glsl"
#else
#include "ranks.glsl"
#include "ranked_posterior.glsl"
#include "rslvq_posterior_ranks.glsl"
#endif

#include "each_row.glsl"
