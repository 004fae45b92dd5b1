// AdaMax and AdaMaxW (src/parts/optimizer/adamax.rs). The state `n` is `largest_` here.

struct Numbers {
    float b1, c1, b2, from_m, eps, h, decay;
};

#define STATE0 m
#define STATE1 largest_

#include "optimizer.glsl"

FN float change(uint e, float theta, float g, Numbers n) {
    m[e] = n.b1 * m[e] + n.c1 * g;
    largest_[e] = max(n.b2 * largest_[e], abs(g) + n.eps);
    return -n.h * n.from_m * m[e] / largest_[e] - n.decay * theta;
}

#include "elementwise.glsl"
