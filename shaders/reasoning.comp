// Reasonings (src/parts/cooperation/reasoning.rs) made ready for a step, and their gradient. `ready`: pk - nk (p x classes), 1^T nk,
// denominators. `sums` of the pass: U = S^T dN (p x classes), 1^T dN, 1^T (dN P) (classes each).
// entries: prepare finish

#include "lvq.glsl"

LOCAL_SIZE(64);

BUFFER(0, readonly, float, reasonings);

PUSH_BEGIN
    uint p;
    uint classes;
PUSH_END

FN float clip(float x) {
    return clamp(x, 0.0f, 1.0f);
}

#ifdef ENTRY_prepare

BUFFER(1, writeonly, float, ready);

FN void main() {
    uint c = gl_GlobalInvocationID.x;
    if (c >= classes) {
        return;
    }
    float negative = 0.0f;
    float den = 1e-8f;
    for (uint j = 0u; j < p; j++) {
        uint at = j * classes + c;
        float a = clip(reasonings[2u * at]);
        float n = (1.0f - a) * clip(reasonings[2u * at + 1u]);
        ready[at] = a - n;
        negative += n;
        den += a + n;
    }
    ready[p * classes + c] = negative;
    ready[(p + 1u) * classes + c] = den;
}

#else

BUFFER(1, readonly, float, sums);
BUFFER(2, writeonly, float, gradient);

FN float passes(float x) {
    return x > 0.0f && x < 1.0f ? 1.0f : (x == 0.0f || x == 1.0f ? 0.5f : 0.0f);
}

FN void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * classes; e += gl_NumWorkGroups.x * 64u) {
        uint c = e % classes;
        float u = sums[e];
        float column = sums[p * classes + c];
        float dden = -sums[(p + 1u) * classes + c];
        float r0 = reasonings[2u * e];
        float r1 = reasonings[2u * e + 1u];
        float dpk = u + dden;
        float dnk = column - u + dden;
        gradient[2u * e] = (dpk - clip(r1) * dnk) * passes(r0);
        gradient[2u * e + 1u] = (1.0f - clip(r0)) * dnk * passes(r1);
    }
}

#endif
