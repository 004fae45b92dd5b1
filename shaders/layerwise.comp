// LAMB, LARS, Fromage and NovoGrad (src/parts/optimizer/layerwise.rs): a whole block scaled by norms.
// entries: lamb lars fromage novograd

#define SIZES uint slabs;

#if defined(ENTRY_lamb)

struct Numbers {
    float b1, c1, b2, c2, from_m, from_v, eps, eps_root, decay, h;
};

#define STATE0 m
#define STATE1 v

#include "optimizer.glsl"

FN float direction(uint e, float theta, Numbers n) {
    return n.from_m * m[e] / (sqrt(n.from_v * v[e] + n.eps_root) + n.eps) + n.decay * theta;
}

FN void measure(uint e, float theta, float g, Numbers n, OUT(float) x, OUT(float) y) {
    m[e] = n.b1 * m[e] + n.c1 * g;
    v[e] = n.b2 * v[e] + n.c2 * g * g;
    x = theta;
    y = direction(e, theta, n);
}

FN float factor(float length_, float a, Numbers n) {
    return n.h * (length_ == 0.0f || a == 0.0f ? 1.0f : length_ / a);
}

FN float change(uint e, float theta, float g, float rate, Numbers n) {
    return -rate * direction(e, theta, n);
}

#elif defined(ENTRY_lars)

struct Numbers {
    float decay, trust, eps, mu, h;
};

#define STATE0 b

#include "optimizer.glsl"
#include "momentum.glsl"

CONSTANT(1, NESTEROV, 0);

FN void measure(uint e, float theta, float g, Numbers n, OUT(float) x, OUT(float) y) {
    x = theta;
    y = g + n.decay * theta;
}

FN float factor(float length_, float a, Numbers n) {
    return n.h * (length_ == 0.0f || a == 0.0f ? 1.0f : n.trust * length_ / (a + n.eps));
}

FN float change(uint e, float theta, float g, float rate, Numbers n) {
    float new_b;
    float along = carried(1u + NESTEROV, -rate * (g + n.decay * theta), n.mu, b[e], new_b);
    b[e] = new_b;
    return along;
}

#elif defined(ENTRY_fromage)

struct Numbers {
    float min_norm, along, shrink;
};

#include "optimizer.glsl"

FN void measure(uint e, float theta, float g, Numbers n, OUT(float) x, OUT(float) y) {
    x = theta;
    y = g;
}

FN float factor(float length_, float slope, Numbers n) {
    return n.along * (max(length_, n.min_norm) / max(slope, n.min_norm));
}

FN float change(uint e, float theta, float g, float rate, Numbers n) {
    return rate * g + n.shrink * theta;
}

#else

struct Numbers {
    float keep, take, eps, eps_root, b1, decay, h;
};

#define STATE0 m

#include "optimizer.glsl"

FN void measure(uint e, float theta, float g, Numbers n, OUT(float) x, OUT(float) y) {
    x = 0.0f;
    y = g;
}

// q is word 0 of `small`.
FN float factor(float unused, float slope, Numbers n) {
    small[0] = n.keep * small[0] + n.take * slope * slope;
    return 1.0f / (sqrt(small[0] + n.eps_root) + n.eps);
}

FN float change(uint e, float theta, float g, float scale, Numbers n) {
    m[e] = n.b1 * m[e] + scale * g + n.decay * theta;
    return -n.h * m[e];
}

#endif

#include "measured.glsl"
