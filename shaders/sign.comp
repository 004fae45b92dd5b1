// Descent along signs (src/parts/optimizer/sign.rs); `sign(0)` is 0.
// entries: sign_sgd signum lion

struct Numbers {
#if defined(ENTRY_sign_sgd)
    float h;
#elif defined(ENTRY_signum)
    float beta, rest, h;
#else
    float b1, c1, b2, c2, h, decay;
#endif
};

#ifndef ENTRY_sign_sgd
#define STATE0 m
#endif

#include "optimizer.glsl"

FN float change(uint e, float theta, float g, Numbers n) {
#if defined(ENTRY_sign_sgd)
    return -n.h * sign(g);
#elif defined(ENTRY_signum)
    m[e] = n.beta * m[e] + n.rest * g;
    return -n.h * sign(m[e]);
#else
    float along = sign(n.b1 * m[e] + n.c1 * g);
    m[e] = n.b2 * m[e] + n.c2 * g;
    return -n.h * along - n.decay * theta;
#endif
}

#include "elementwise.glsl"
