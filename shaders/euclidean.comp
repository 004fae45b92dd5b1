// The Euclidean distance (src/parts/metric/euclidean.rs).
// entries: forward pull forward_tile

#include "pairs.glsl"

#ifdef ENTRY_forward
#define RAW
#define DISTANCES
#include "euclidean.glsl"
#include "forward.glsl"
#elif defined(ENTRY_forward_tile)

#define RAW
#define TERM(sum, y, v, a) { float t = y - v; sum += t * t; }
#define FINISH(sum) sqrt(sum)

#include "forward_tile.glsl"
#else
#define PULLS
#include "euclidean.glsl"
#include "pull.glsl"
#endif
