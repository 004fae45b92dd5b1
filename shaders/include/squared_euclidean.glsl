// The squared Euclidean distance.

#ifdef DISTANCES
FN float distance(uint i, uint j) {
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        float t = difference(i, j, a);
        sum += t * t;
    }
    return sum;
}
#endif

#ifdef PULLS
FN float pull(uint i, uint j, uint a, float g) {
    return g * difference(i, j, a);
}
#endif
