// Hypergradient descent (src/parts/optimizer/hypergradient.rs): the step size `e` is word 0 of `small`.

struct Numbers {
    float hyper_lr, min_lr, max_lr, ratio;
};

#define STATE0 g_prev
#define SIZES uint slabs;
#define PRODUCT

#include "optimizer.glsl"

FN void measure(uint e, float theta, float g, Numbers n, OUT(float) x, OUT(float) y) {
    x = g;
    y = g_prev[e];
}

FN float factor(float along, float unused, Numbers n) {
    small[0] = clamp(small[0] + n.hyper_lr * along, n.min_lr, n.max_lr);
    return small[0] * n.ratio;
}

FN float change(uint e, float theta, float g, float rate, Numbers n) {
    g_prev[e] = g;
    return -rate * g;
}

#include "measured.glsl"
