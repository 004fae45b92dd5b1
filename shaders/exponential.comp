// The exponential kernel's distance in the logarithm (src/parts/kernel/exponential.rs), on projections y = x O, v = w O.
//
// `forward`: ell = m + ln br. `slopes`: from gamma = dL/dell the factors of the backward products: in place of gamma that of (y - v),
// in `raw` that of y, in `more` that of v. `push` adds the y's own share to a row's H.
// entries: forward slopes push

#if defined(ENTRY_push)

#include "lvq.glsl"

LOCAL_SIZE(64);

BUFFER(0, readonly, float, y);
BUFFER(1, readonly, float, raw);
BUFFER(2, READ_WRITE, float, h);

PUSH_BEGIN
    uint n;
    uint p;
    uint stride;
    uint l;
PUSH_END

FN void main() {
    for (uint i = gl_GlobalInvocationID.x; i < n; i += gl_NumWorkGroups.x * 64u) {
        float sum = 0.0f;
        for (uint j = 0u; j < p; j++) {
            sum += raw[j * stride + i];
        }
        for (uint k = 0u; k < l; k++) {
            h[i * l + k] += sum * y[i * l + k];
        }
    }
}

#else

#include "pairs.glsl"

// a = |y|^2, b = |v|^2, q = |y - v|^2
FN void norms(uint i, uint j, OUT(float) a, OUT(float) b, OUT(float) q) {
    a = 0.0f;
    b = 0.0f;
    q = 0.0f;
    for (uint k = 0u; k < l; k++) {
        float yk = y_at(i, j, k);
        float vk = v[j * l + k];
        a += yk * yk;
        b += vk * vk;
        q += (yk - vk) * (yk - vk);
    }
}

FN float bracket(float a, float b, float q) {
    float gap = -0.5f * abs(a - b);
    float e = expm1_(gap);
    return e * e - 2.0f * exp(gap) * expm1_(-0.5f * q);
}

#ifdef ENTRY_forward

FN float distance(uint i, uint j) {
    float a;
    float b;
    float q;
    norms(i, j, a, b, q);
    float br = bracket(a, b, q);
    return br > 0.0f ? max(a, b) + log(br) : -LARGEST;
}

#include "forward.glsl"

#else

LOCAL_SIZE(64);

BUFFER(5, READ_WRITE, float, slopes);
BUFFER(6, writeonly, float, raw);
BUFFER(7, writeonly, float, more);

// e^(s - m) - e^(C - m) from C - s: without cancellation near 0, and without 0 * inf far above.
FN float on(float s, float above, float e_c) {
    return above > 1.0f ? s - e_c : -s * expm1_(above);
}

FN void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i >= n) {
        return;
    }
    for (uint j = gl_WorkGroupID.y; j < p; j += gl_NumWorkGroups.y) {
        uint at = j * stride + i;
        float gamma = slopes[at];
        float a;
        float b;
        float q;
        norms(i, j, a, b, q);
        float br = bracket(a, b, q);
        bool counts = gamma != 0.0f && br > 0.0f;
        float m = max(a, b);
        float unit = counts ? 2.0f * gamma / br : 0.0f;
        float e_c = exp(0.5f * (a + b - q) - m);
        slopes[at] = counts ? unit * e_c : 0.0f;
        raw[at] = counts ? unit * on(exp(a - m), 0.5f * (b - a - q), e_c) : 0.0f;
        more[at] = counts ? unit * on(exp(b - m), 0.5f * (a - b - q), e_c) : 0.0f;
    }
}

#endif

#endif
