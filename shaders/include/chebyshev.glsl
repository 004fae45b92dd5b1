// The Chebyshev distance, which `raw` keeps; coordinates that tie share equally: `more` keeps one over their number.

#ifdef DISTANCES
FN float distance(uint i, uint j) {
    float d = 0.0f;
    float ties = 0.0f;
    for (uint a = 0u; a < l; a++) {
        float t = abs(difference(i, j, a));
        ties = t > d ? 1.0f : (t == d ? ties + 1.0f : ties);
        d = max(d, t);
    }
    raw_ = d;
    more_ = 1.0f / ties;
    return d;
}
#endif

#ifdef PULLS
FN float pull(uint i, uint j, uint a, float g) {
    float t = difference(i, j, a);
    return abs(t) == raw[j * stride + i] ? g * more[j * stride + i] * sign_(t) : 0.0f;
}
#endif
