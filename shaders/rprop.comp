// Rprop (src/parts/optimizer/rprop.rs).

struct Numbers {
    float minus, plus, least, most, ratio;
};

#define STATE0 d
#define STATE1 z

#include "optimizer.glsl"

// Whether the step before is emitted.
CONSTANT(1, DELAY, 0);

FN float change(uint e, float theta, float g, Numbers n) {
    // Of the signs: the product of small numbers would be 0.
    float q = sign(g) * sign(z[e]);
    float emitted = q < 0.0f ? 0.0f : z[e];
    if (q != 0.0f) {
        d[e] = clamp(d[e] * (q < 0.0f ? n.minus : n.plus), n.least, n.most);
    }
    z[e] = q < 0.0f ? 0.0f : d[e] * sign(g);
    return -n.ratio * (DELAY != 0u ? emitted : z[e]);
}

#include "elementwise.glsl"
