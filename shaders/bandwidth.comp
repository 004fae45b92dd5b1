// The Gaussian kernel's exponent with a bandwidth per prototype (src/parts/kernel/bandwidth.rs): u = q / (2 s^2), s = max(sigma, floor);
// du/dsigma = -2 u / s, half of it at the floor, nothing below.
// entries: prepare finish

#include "lvq.glsl"

LOCAL_SIZE(64);

BUFFER(0, readonly, float, sigmas);
BUFFER(1, READ_WRITE, float, affine);

PUSH_BEGIN
    uint p;
    float least;
PUSH_END

#ifdef ENTRY_prepare

FN void main() {
    uint j = gl_GlobalInvocationID.x;
    if (j < p) {
        float s = max(sigmas[j], least);
        affine[p + j] = 0.5f / s / s;
    }
}

#else

// sum_i G_ij u_ij, from word p on.
BUFFER(2, readonly, float, totals);
BUFFER(3, readonly, float, dynamic);
BUFFER(4, writeonly, float, gradient);

FN void main() {
    uint j = gl_GlobalInvocationID.x;
    if (j < p) {
        float s = sigmas[j];
        float passes = s > least ? 1.0f : (s == least ? 0.5f : 0.0f);
        gradient[j] = -2.0f * passes * totals[p + j] / max(s, least) / dynamic[0];
    }
}

#endif
