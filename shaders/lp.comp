// The Lp distance (src/parts/metric/lp.rs), scaled by the largest coordinate so that no power overflows.
// entries: forward pull

#include "pairs.glsl"

#ifdef ENTRY_forward
#define RAW

FN float distance(uint i, uint j) {
    float t = 0.0f;
    for (uint a = 0u; a < l; a++) {
        t = max(t, abs(difference(i, j, a)));
    }
    if (t == 0.0f) {
        return 0.0f;
    }
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        float r = abs(difference(i, j, a)) / t;
        sum += r > 0.0f ? pow(r, power) : 0.0f;
    }
    return t * pow(sum, 1.0f / power);
}

#include "forward.glsl"
#else
FN float pull(uint i, uint j, uint a, float g) {
    float d = raw[j * stride + i];
    float t = difference(i, j, a);
    if (d == 0.0f || t == 0.0f) {
        return 0.0f;
    }
    return g * sign_(t) * pow(abs(t) / d, power - 1.0f);
}

#include "pull.glsl"
#endif
