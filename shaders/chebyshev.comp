// The Chebyshev distance (src/parts/metric/chebyshev.rs).
// entries: forward pull

#include "pairs.glsl"

#ifdef ENTRY_forward
#define RAW
#define MORE
#define DISTANCES
#include "chebyshev.glsl"
#include "forward.glsl"
#else
#define PULLS
#include "chebyshev.glsl"
#include "pull.glsl"
#endif
