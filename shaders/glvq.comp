// The GLVQ ratio: with the nearest right and wrong prototype, or with all right prototypes by rank; `fused` is the whole step of the first.
// entries: winner_pair ranks_own fused

#ifdef ENTRY_fused

#include "fused.glsl"
#include "transfer.glsl"
#include "glvq.glsl"
#include "fused_main.glsl"

#else

#include "rows.glsl"
#include "options.glsl"
#include "map.glsl"
#include "transfer.glsl"

#ifdef ENTRY_winner_pair
#include "glvq.glsl"
#include "winner_pair.glsl"
#else
#include "ranks.glsl"
#include "ranks_own.glsl"
#endif

#include "each_row.glsl"

#endif
