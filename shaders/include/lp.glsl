// The Lp distance, which `raw` keeps; scaled by the largest coordinate so that no power overflows.

#ifdef DISTANCES
FN float distance(uint i, uint j) {
    float t = 0.0f;
    for (uint a = 0u; a < l; a++) {
        t = max(t, abs(difference(i, j, a)));
    }
    raw_ = 0.0f;
    if (t == 0.0f) {
        return 0.0f;
    }
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        float r = abs(difference(i, j, a)) / t;
        sum += r > 0.0f ? pow(r, power) : 0.0f;
    }
    raw_ = t * pow(sum, 1.0f / power);
    return raw_;
}
#endif

#ifdef PULLS
FN float pull(uint i, uint j, uint a, float g) {
    float d = raw[j * stride + i];
    float t = difference(i, j, a);
    if (d == 0.0f || t == 0.0f) {
        return 0.0f;
    }
    return g * sign_(t) * pow(abs(t) / d, power - 1.0f);
}
#endif
