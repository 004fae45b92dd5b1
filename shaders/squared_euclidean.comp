// The squared Euclidean distance (src/parts/metric/squared_euclidean.rs), also of projections: omega, class_omega, local_omega.
// entries: forward pull forward_tile pull_tile

#include "pairs.glsl"

#ifdef ENTRY_forward
#define DISTANCES
#include "squared_euclidean.glsl"
#include "forward.glsl"
#elif defined(ENTRY_forward_tile)

#define TERM(sum, y, v, a) { float t = y - v; sum += t * t; }
#define FINISH(sum) sum

#include "forward_tile.glsl"
#elif defined(ENTRY_pull_tile)

#define PULL(y, v) ((y) - (v))

#include "pull_tile.glsl"
#else
#define PULLS
#include "squared_euclidean.glsl"
#include "pull.glsl"
#endif
