// What is read off the ranks that ranks.comp has counted (src/parts/cooperation/ranks.rs).

FN uint rank_of(uint i, uint j) {
    return ranks[j * stride + i];
}

FN uint members_of(uint class_) {
    return labels[p + class_];
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
