// The cosine dissimilarity, 1 - max(0, cos). `raw` keeps the cosine and `more` the row's length; `turn` makes of the slope dL/dD the factor
// of the row, and leaves that of the prototype in `raw`.

// Lengths below machine epsilon count as machine epsilon.
#define SHORTEST 1.1920929e-7f

#if defined(DISTANCES) || defined(TURNS)
FN float length_of_prototype(uint j) {
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        sum += v_at(j, a) * v_at(j, a);
    }
    return max(sqrt(sum), SHORTEST);
}
#endif

#ifdef DISTANCES
FN float distance(uint i, uint j) {
    float product = 0.0f;
    float squares = 0.0f;
    for (uint a = 0u; a < l; a++) {
        float ya = y_at(i, j, a);
        product += ya * v_at(j, a);
        squares += ya * ya;
    }
    more_ = max(sqrt(squares), SHORTEST);
    raw_ = product / more_ / length_of_prototype(j);
    return max(1.0f - max(raw_, 0.0f), 0.0f);
}
#endif

#ifdef TURNS
FN void turn(uint i, uint j) {
    uint at = j * stride + i;
    float s = raw[at];
    float g = s < 0.0f ? 0.0f : (s == 0.0f ? 0.5f * slopes[at] : slopes[at]);
    float nw = length_of_prototype(j);
    slopes[at] = -g / more[at] / nw;
    raw[at] = g * affine[p + j] * s / nw / nw;
}
#endif

#ifdef PULLS
FN float pull(uint i, uint j, uint a, float g) {
    return g * y_at(i, j, a);
}
#endif
