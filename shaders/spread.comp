// The additive spread of Wasserstein LVQ (src/parts/metric/spread.rs): D + sum_a exp(v_ja); dv_ja = (sum_i G_ij) exp(v_ja).
// entries: prepare finish

#include "lvq.glsl"

LOCAL_SIZE(64);

BUFFER(0, readonly, float, log_variances);
BUFFER(1, READ_WRITE, float, affine);

PUSH_BEGIN
    uint p;
    uint d;
PUSH_END

#ifdef ENTRY_prepare

FN void main() {
    uint j = gl_GlobalInvocationID.x;
    if (j < p) {
        float sum = 0.0f;
        for (uint a = 0u; a < d; a++) {
            sum += exp(log_variances[j * d + a]);
        }
        affine[j] = sum;
    }
}

#else

BUFFER(2, readonly, float, totals);
BUFFER(3, readonly, float, dynamic);
BUFFER(4, writeonly, float, gradient);

FN void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * d; e += gl_NumWorkGroups.x * 64u) {
        uint j = e / d;
        gradient[e] = totals[j] * affine[p + j] * exp(log_variances[e]) / dynamic[0];
    }
}

#endif
