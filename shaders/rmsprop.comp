// RMSprop, AdaGrad and AdaDelta (src/parts/optimizer/rmsprop.rs).
// entries: rmsprop adagrad adadelta

#if defined(ENTRY_rmsprop)

struct Numbers {
    float keep, take, inside, outside, h, mu;
};

#define STATE0 v
// The running mean if `centered`, else the momentum; the momentum if both.
#define STATE1 second
#define STATE2 third

#include "optimizer.glsl"
#include "momentum.glsl"

CONSTANT(1, CENTERED, 0);
CONSTANT(2, MOMENTUM, 0);

FN float change(uint e, float theta, float g, Numbers n) {
    v[e] = n.keep * v[e] + n.take * g * g;
    float spread = v[e];
    if (CENTERED != 0u) {
        float m = n.keep * second[e] + n.take * g;
        second[e] = m;
        // A variance: rounding must not make it negative.
        spread = max(spread - m * m, 0.0f);
    }
    float z = -n.h * g / (sqrt(spread + n.inside) + n.outside);
    if (MOMENTUM == 0u) {
        return z;
    }
    float b;
    float along = carried(MOMENTUM, z, n.mu, CENTERED != 0u ? third[e] : second[e], b);
    if (CENTERED != 0u) {
        third[e] = b;
    } else {
        second[e] = b;
    }
    return along;
}

#elif defined(ENTRY_adagrad)

struct Numbers {
    float h, eps;
};

#define STATE0 a

#include "optimizer.glsl"

FN float change(uint e, float theta, float g, Numbers n) {
    a[e] += g * g;
    return a[e] > 0.0f ? -n.h * g / sqrt(a[e] + n.eps) : 0.0f;
}

#else

struct Numbers {
    float keep, take, h, eps, decay;
};

#define STATE0 squares
#define STATE1 x

#include "optimizer.glsl"

FN float change(uint e, float theta, float g, Numbers n) {
    g += n.decay * theta;
    squares[e] = n.keep * squares[e] + n.take * g * g;
    float z = sqrt(x[e] + n.eps) / sqrt(squares[e] + n.eps) * g;
    x[e] = n.keep * x[e] + n.take * z * z;
    return -n.h * z;
}

#endif

#include "elementwise.glsl"
