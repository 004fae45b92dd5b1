// The Manhattan distance.

#ifdef DISTANCES
FN float distance(uint i, uint j) {
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        sum += abs(difference(i, j, a));
    }
    return sum;
}
#endif

#ifdef PULLS
FN float pull(uint i, uint j, uint a, float g) {
    return g * sign_(difference(i, j, a));
}
#endif
