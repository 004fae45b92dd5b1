#version 450

// The Manhattan distance (src/parts/metric/manhattan.rs).
// entries: forward pull

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
#else
FN float pull(uint i, uint j, uint a, float g) {
    return g * sign_(difference(i, j, a));
}

#include "pull.glsl"
#endif
