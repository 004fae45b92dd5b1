// The Euclidean distance, which `raw` keeps; its slope at 0 is taken as 0.

#ifdef DISTANCES
FN float distance(uint i, uint j) {
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        float t = difference(i, j, a);
        sum += t * t;
    }
    raw_ = sqrt(sum);
    return raw_;
}
#endif

#ifdef PULLS
FN float pull(uint i, uint j, uint a, float g) {
    float d = raw[j * stride + i];
    return d > 0.0f ? g / d * difference(i, j, a) : 0.0f;
}
#endif
