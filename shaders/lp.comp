// The Lp distance (src/parts/metric/lp.rs).
// entries: forward pull

#include "pairs.glsl"

#ifdef ENTRY_forward
#define RAW
#define DISTANCES
#include "lp.glsl"
#include "forward.glsl"
#else
#define PULLS
#include "lp.glsl"
#include "pull.glsl"
#endif
