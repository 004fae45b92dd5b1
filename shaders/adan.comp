// Adan (src/parts/optimizer/adan.rs). The state `n` is `squares` here.

struct Numbers {
    float b1, c1, b2, c2, b3, c3, from_m, from_v, from_n, eps, eps_root, h, decay, seen;
};

#define STATE0 m
#define STATE1 v
#define STATE2 squares
#define STATE3 g_prev

#include "optimizer.glsl"

FN float change(uint e, float theta, float g, Numbers n) {
    float change_ = n.seen * (g - g_prev[e]);
    float ahead = g + n.c2 * change_;
    m[e] = n.b1 * m[e] + n.c1 * g;
    v[e] = n.b2 * v[e] + n.c2 * change_;
    squares[e] = n.b3 * squares[e] + n.c3 * ahead * ahead;
    g_prev[e] = g;
    float along = n.from_m * m[e] + n.c2 * n.from_v * v[e];
    return -n.h * (along / (sqrt(n.from_n * squares[e] + n.eps_root) + n.eps)) - n.decay * theta;
}

#include "elementwise.glsl"
