// AdaBelief (src/parts/optimizer/adabelief.rs).

struct Numbers {
    float b1, c1, b2, c2, from_m, from_q, eps, eps_root, h;
};

#define STATE0 m
#define STATE1 q

#include "optimizer.glsl"

FN float change(uint e, float theta, float g, Numbers n) {
    m[e] = n.b1 * m[e] + n.c1 * g;
    float surprise = g - m[e];
    q[e] = n.b2 * q[e] + n.c2 * surprise * surprise + n.eps_root;
    return -n.h * n.from_m * m[e] / (sqrt(n.from_q * q[e]) + n.eps);
}

#include "elementwise.glsl"
