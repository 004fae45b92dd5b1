// Adam, AdamW and AMSGrad (src/parts/optimizer/adam.rs).
// entries: adam amsgrad

struct Numbers {
    float b1, c1, b2, c2, from_m, from_v, eps, eps_root, h;
#ifdef ENTRY_adam
    float from_g, decay;
#endif
};

#define STATE0 m
#define STATE1 v
#ifdef ENTRY_amsgrad
#define STATE2 x
#endif

#include "optimizer.glsl"

FN float change(uint e, float theta, float g, Numbers n) {
    m[e] = n.b1 * m[e] + n.c1 * g;
    v[e] = n.b2 * v[e] + n.c2 * g * g;
#ifdef ENTRY_adam
    float direction = (n.from_m * m[e] + n.from_g * g) / (sqrt(n.from_v * v[e] + n.eps_root) + n.eps);
    return -n.h * direction - n.decay * theta;
#else
    x[e] = max(x[e], n.from_v * v[e]);
    return -n.h * n.from_m * m[e] / (sqrt(x[e] + n.eps_root) + n.eps);
#endif
}

#include "elementwise.glsl"
