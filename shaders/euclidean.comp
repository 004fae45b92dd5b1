// The Euclidean distance (src/parts/metric/euclidean.rs); its slope at 0 is taken as 0.
// entries: forward pull forward_tile

#include "pairs.glsl"

#ifdef ENTRY_forward
#define RAW

FN float distance(uint i, uint j) {
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        float t = difference(i, j, a);
        sum += t * t;
    }
    return sqrt(sum);
}

#include "forward.glsl"
#elif defined(ENTRY_forward_tile)

#define RAW
#define TERM(sum, y, v, a) { float t = y - v; sum += t * t; }
#define FINISH(sum) sqrt(sum)

#include "forward_tile.glsl"
#else
FN float pull(uint i, uint j, uint a, float g) {
    float d = raw[j * stride + i];
    return d > 0.0f ? g / d * difference(i, j, a) : 0.0f;
}

#include "pull.glsl"
#endif
