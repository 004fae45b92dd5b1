// One-class cost at all prototypes, weighted by responsibility (RULE 0), rank (1), or both (2).

FN void row(uint i) {
    bool is_target = codes[base + i] == target;
    float heights = 1.0f;
    float sum = 1.0f;
    if (RULE == 2u) {
        ranked_posterior(i, heights, sum);
    } else if (RULE == 1u) {
        for (uint j = 0u; j < p; j++) {
            room[j * stride + i] = rank_weight(rank_of(i, j), p);
        }
    } else {
        float least = least_distance(i);
        float total = 0.0f;
        for (uint j = 0u; j < p; j++) {
            float e = responsibility(i, j, least);
            room[j * stride + i] = e;
            total += e;
        }
        for (uint j = 0u; j < p; j++) {
            room[j * stride + i] /= total;
        }
    }
    float loss = 0.0f;
    for (uint j = 0u; j < p; j++) {
        float value;
        float g;
        float gt;
        cost(i, j, is_target, value, g, gt);
        loss += room[j * stride + i] * value;
    }
    set_loss(i, loss);
    if (!option(GRADIENT)) {
        return;
    }
    float f = factor(i);
    float range = 0.0f;
    float half_ = 0.5f / (sigma * sigma);
    // Weights that do not quite sum to 1: what eps takes from all of them.
    float tau = loss * EPS / sum;
    for (uint j = 0u; j < p; j++) {
        float value;
        float g;
        float gt;
        cost(i, j, is_target, value, g, gt);
        float weight = room[j * stride + i];
        float slope = weight * g;
        if (RULE != 1u) {
            // The responsibilities change with the distances too.
            float lost = RULE == 2u ? room[(p + j) * stride + i] * tau : 0.0f;
            slope -= half_ * (weight * (value - loss) - lost) * slope_of(key(i, j));
        }
        set_slope(i, j, slope, f);
        set_theta_slope(i, j, weight * gt, f);
        if (option(LEARN_RANGE) && RULE != 0u) {
            float by_range = rank_weight_slope(rank_of(i, j), p);
            range += RULE == 2u ? room[(p + j) * stride + i] * by_range * (value - loss) / sum : value * by_range;
        }
    }
    set_range(i, range, f);
}
