// The exponential kernel's distance in the logarithm, on projections y = x O, v = w O: ell = m + ln br. `turn` makes of gamma = dL/dell
// the factors of the backward products: in place of gamma that of (y - v), in `raw` that of y, in `more` that of v.

// a = |y|^2, b = |v|^2, q = |y - v|^2
FN void norms(uint i, uint j, OUT(float) a, OUT(float) b, OUT(float) q) {
    a = 0.0f;
    b = 0.0f;
    q = 0.0f;
    for (uint k = 0u; k < l; k++) {
        float yk = y_at(i, j, k);
        float vk = v_at(j, k);
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

#ifdef DISTANCES
FN float distance(uint i, uint j) {
    float a;
    float b;
    float q;
    norms(i, j, a, b, q);
    float br = bracket(a, b, q);
    return br > 0.0f ? max(a, b) + log(br) : -LARGEST;
}
#endif

#ifdef TURNS
// e^(s - m) - e^(C - m) from C - s: without cancellation near 0, and without 0 * inf far above.
FN float on(float s, float above, float e_c) {
    return above > 1.0f ? s - e_c : -s * expm1_(above);
}

FN void turn(uint i, uint j) {
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
#endif
