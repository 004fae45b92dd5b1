// Yogi (src/parts/optimizer/yogi.rs).

struct Numbers {
    float b1, c1, c2, from_m, from_v, eps, h;
};

#define STATE0 m
#define STATE1 v

#include "optimizer.glsl"

FN float change(uint e, float theta, float g, Numbers n) {
    m[e] = n.b1 * m[e] + n.c1 * g;
    v[e] -= n.c2 * sign(v[e] - g * g) * g * g;
    return -n.h * n.from_m * m[e] / (sqrt(n.from_v * v[e]) + n.eps);
}

#include "elementwise.glsl"
