// Gradient descent with or without momentum and noise (src/parts/optimizer/sgd.rs).

struct Numbers {
    float h, mu;
};

#define STATE0 b

#include "optimizer.glsl"
#include "momentum.glsl"

CONSTANT(1, MOMENTUM, 0);
CONSTANT(2, NOISY, 0);

FN float change(uint e, float theta, float g, Numbers n) {
    if (NOISY != 0u) {
        g += noise[first_noise + e];
    }
    if (MOMENTUM == 0u) {
        return -n.h * g;
    }
    float new_b;
    float along = carried(MOMENTUM, g, n.mu, b[e], new_b);
    b[e] = new_b;
    return -n.h * along;
}

#include "elementwise.glsl"
