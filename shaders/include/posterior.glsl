// Responsibilities p_j = softmax_j(-D_j / (2 sigma^2)) (src/parts/cooperation/posterior.rs).

FN float least_distance(uint i) {
    float least = key(i, 0u);
    for (uint j = 1u; j < p; j++) {
        least = min(least, key(i, j));
    }
    return distance_of(least);
}

// exp(-(D - least)/(2 sigma^2))
FN float responsibility(uint i, uint j, float least) {
    return exp((least - distance_of(key(i, j))) * (0.5f / (sigma * sigma)));
}
