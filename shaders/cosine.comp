// The cosine dissimilarity (src/parts/metric/cosine.rs).
// entries: forward slopes pull

#include "pairs.glsl"

#ifdef ENTRY_forward
#define RAW
#define MORE
#define DISTANCES
#include "cosine.glsl"
#include "forward.glsl"
#elif defined(ENTRY_slopes)
#define TURNS
#include "cosine.glsl"
#include "turn.glsl"
#else
#define PULLS
#include "cosine.glsl"
#include "pull.glsl"
#endif
