// Neural-gas ranks by counting (src/parts/cooperation/ranks.rs) and what is read off them.

// Rank of prototype j among all, 0 the nearest, ties by the lower index.
FN uint rank_among_all(uint i, uint j) {
    float v = key(i, j);
    uint rank = 0u;
    for (uint k = 0u; k < j; k++) {
        rank += key(i, k) <= v ? 1u : 0u;
    }
    for (uint k = j + 1u; k < p; k++) {
        rank += key(i, k) < v ? 1u : 0u;
    }
    return rank;
}

// Among the prototypes of its class.
FN uint rank_in_class(uint i, uint j) {
    float v = key(i, j);
    uint rank = 0u;
    for (uint k = 0u; k < p; k++) {
        float d = key(i, k);
        bool before = d < v || (d == v && k < j);
        rank += labels[k] == labels[j] && before ? 1u : 0u;
    }
    return rank;
}

FN uint members_of(uint class_) {
    uint m = 0u;
    for (uint j = 0u; j < p; j++) {
        m += labels[j] == class_ ? 1u : 0u;
    }
    return m;
}

FN float height(uint rank) {
    return neighbourhood[rank];
}

FN float height_slope(uint rank) {
    return neighbourhood[p + rank];
}

// Normalised weight of a rank among m members, and its slope by the range.
FN float rank_weight(uint rank, uint m) {
    return neighbourhood[rank] / (neighbourhood[2u * p + m] + EPS);
}

FN float rank_weight_slope(uint rank, uint m) {
    float sum = neighbourhood[2u * p + m] + EPS;
    float weight = neighbourhood[rank] / sum;
    return (neighbourhood[p + rank] - weight * neighbourhood[3u * p + 1u + m]) / sum;
}
