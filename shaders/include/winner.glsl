// The nearest prototype.

FN uint nearest(uint i) {
    uint winner = 0u;
    float least = key(i, 0u);
    for (uint j = 1u; j < p; j++) {
        float k = key(i, j);
        if (k < least) {
            winner = j;
            least = k;
        }
    }
    return winner;
}
