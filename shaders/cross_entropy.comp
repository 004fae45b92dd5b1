// Cross-entropy over classwise distances: of the nearest of each class, or rank-weighted means.
// entries: class_minimum ranks_each

#include "rows.glsl"
#include "options.glsl"
#include "map.glsl"

#ifdef ENTRY_class_minimum
#include "class_minimum.glsl"
#else
#include "ranks.glsl"
#include "ranks_each.glsl"
#endif

#include "each_row.glsl"
