// Rectified Adam (src/parts/optimizer/radam.rs).

struct Numbers {
    float b1, c1, b2, c2, from_v, eps, eps_root, h, adapts;
};

#define STATE0 m
#define STATE1 v

#include "optimizer.glsl"

FN float change(uint e, float theta, float g, Numbers n) {
    m[e] = n.b1 * m[e] + n.c1 * g;
    v[e] = n.b2 * v[e] + n.c2 * g * g;
    return n.adapts > 0.0f ? -n.h * m[e] / (sqrt(n.from_v * v[e] + n.eps_root) + n.eps) : -n.h * m[e];
}

#include "elementwise.glsl"
