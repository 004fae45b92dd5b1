// One-class LVQ (src/parts/objective/one_class.rs): the GLVQ ratio against a learned threshold per prototype.

FN float theta_of(uint j) {
    float t = thetas[j];
    return option(THETA_ROOTS) ? t * t : t;
}

FN float theta_slope_of(uint j) {
    return option(THETA_ROOTS) ? 2.0f * thetas[j] : 1.0f;
}

// Cost at prototype j and its derivatives with respect to the key and to the threshold's tensor.
FN void cost(uint i, uint j, bool is_target, OUT(float) value, OUT(float) g, OUT(float) gt) {
    float d;
    float sd;
    float t;
    float st;
    float eps;
    see_against(key(i, j), theta_of(j), d, sd, t, st, eps);
    float mu;
    float by_d;
    float by_t;
    ratio(d, t, eps, mu, by_d, by_t);
    float s = is_target ? 1.0f : -1.0f;
    float slope;
    transfer(s * mu + margin, value, slope);
    g = slope * s * by_d * sd;
    gt = slope * s * by_t * st * theta_slope_of(j);
}

FN void set_theta_slope(uint i, uint j, float g, float f) {
    theta_slopes[j * stride + i] = f == 0.0f ? 0.0f : g * f;
}

// (D - theta)/(D + theta + eps)
FN float excess(uint i, uint j) {
    float d;
    float sd;
    float t;
    float st;
    float eps;
    see_against(key(i, j), theta_of(j), d, sd, t, st, eps);
    return (d - t) / (d + t + eps);
}

// 1 - sg(beta m), high for the target class.
FN float score_of(float m) {
    float e = exp(-abs(beta * m));
    return beta * m > 0.0f ? e / (1.0f + e) : 1.0f / (1.0f + e);
}
