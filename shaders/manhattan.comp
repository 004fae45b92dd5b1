// The Manhattan distance (src/parts/metric/manhattan.rs).
// entries: forward pull forward_tile pull_tile

#include "pairs.glsl"

#ifdef ENTRY_forward
#define DISTANCES
#include "manhattan.glsl"
#include "forward.glsl"
#elif defined(ENTRY_forward_tile)

#define TERM(sum, y, v, a) sum += abs(y - v)
#define FINISH(sum) sum

#include "forward_tile.glsl"
#elif defined(ENTRY_pull_tile)

#define PULL(y, v) sign_((y) - (v))

#include "pull_tile.glsl"
#else
#define PULLS
#include "manhattan.glsl"
#include "pull.glsl"
#endif
