// The Chebyshev distance (src/parts/metric/chebyshev.rs); coordinates that tie share equally.
// entries: forward pull

#include "pairs.glsl"

#ifdef ENTRY_forward
#define RAW
#define MORE

// One over the number of coordinates that attain the distance.
float more_;

FN float distance(uint i, uint j) {
    float d = 0.0f;
    float ties = 0.0f;
    for (uint a = 0u; a < l; a++) {
        float t = abs(difference(i, j, a));
        ties = t > d ? 1.0f : (t == d ? ties + 1.0f : ties);
        d = max(d, t);
    }
    more_ = 1.0f / ties;
    return d;
}

#include "forward.glsl"
#else
FN float pull(uint i, uint j, uint a, float g) {
    float t = difference(i, j, a);
    return abs(t) == raw[j * stride + i] ? g * more[j * stride + i] * sign_(t) : 0.0f;
}

#include "pull.glsl"
#endif
