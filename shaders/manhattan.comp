// The Manhattan distance (src/parts/metric/manhattan.rs).
// entries: forward pull forward_tile pull_tile

#include "pairs.glsl"

#ifdef ENTRY_forward
FN float distance(uint i, uint j) {
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        sum += abs(difference(i, j, a));
    }
    return sum;
}

#include "forward.glsl"
#elif defined(ENTRY_forward_tile)

#define TERM(sum, y, v, a) sum += abs(y - v)
#define FINISH(sum) sum

#include "forward_tile.glsl"
#elif defined(ENTRY_pull_tile)

#define PULL(y, v) sign_((y) - (v))

#include "pull_tile.glsl"
#else
FN float pull(uint i, uint j, uint a, float g) {
    return g * sign_(difference(i, j, a));
}

#include "pull.glsl"
#endif
