// Gradients of prototypes that no map stands before: dW = c P + b_j w_j.
// entries: prototypes

#include "lvq.glsl"

LOCAL_SIZE(64);

BUFFER(0, readonly, float, pulls);
BUFFER(1, readonly, float, w);
BUFFER(2, readonly, float, b);
BUFFER(3, readonly, float, dynamic);
BUFFER(4, writeonly, float, gradient);

PUSH_BEGIN
    uint p;
    uint d;
    float c;
PUSH_END

FN void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * d; e += gl_NumWorkGroups.x * 64u) {
        gradient[e] = (c * pulls[e] + b[e / d] * w[e]) / dynamic[0];
    }
}
