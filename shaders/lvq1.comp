// LVQ1's cost; `fused` is the whole step.
// entries: winner_pair fused

#ifdef ENTRY_fused

#include "fused.glsl"
#include "lvq1.glsl"
#include "fused_main.glsl"

#else

#include "rows.glsl"
#include "options.glsl"
#include "map.glsl"
#include "lvq1.glsl"
#include "winner_pair.glsl"
#include "each_row.glsl"

#endif
