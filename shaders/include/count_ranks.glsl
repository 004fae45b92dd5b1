// The ranks of eight prototypes, j0 .. j0 + 7, for row i, by counting: a key is read once for all of them.

FN void count_ranks(uint i, uint j0) {
    float own[8];
    uint class_[8];
    uint rank[8];
    UNROLL for (uint e = 0u; e < 8u; e++) {
        uint j = min(j0 + e, p - 1u);
        own[e] = keys[j * stride + i];
        // Without scopes all are of one.
        class_[e] = within == 0u ? 0u : labels[j];
        rank[e] = 0u;
    }
    for (uint k = 0u; k < p; k++) {
        float other = keys[k * stride + i];
        uint other_class = within == 0u ? 0u : labels[k];
        UNROLL for (uint e = 0u; e < 8u; e++) {
            bool before = other < own[e] || (other == own[e] && k < j0 + e);
            rank[e] += before && class_[e] == other_class ? 1u : 0u;
        }
    }
    UNROLL for (uint e = 0u; e < 8u; e++) {
        if (j0 + e < p) {
            ranks[(j0 + e) * stride + i] = rank[e];
        }
    }
}
