// The squared Euclidean distance (src/parts/metric/squared_euclidean.rs), also of projections: omega, class_omega, local_omega.
// entries: forward pull forward_tile pull_tile

#include "pairs.glsl"

#ifdef ENTRY_forward
FN float distance(uint i, uint j) {
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        float t = difference(i, j, a);
        sum += t * t;
    }
    return sum;
}

#include "forward.glsl"
#elif defined(ENTRY_forward_tile)

#define TERM(sum, y, v, a) { float t = y - v; sum += t * t; }
#define FINISH(sum) sum

#include "forward_tile.glsl"
#elif defined(ENTRY_pull_tile)

#define PULL(y, v) ((y) - (v))

#include "pull_tile.glsl"
#else
FN float pull(uint i, uint j, uint a, float g) {
    return g * difference(i, j, a);
}

#include "pull.glsl"
#endif
