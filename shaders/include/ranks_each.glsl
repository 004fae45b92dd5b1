// Cross-entropy of classwise distances that are rank-weighted means.

FN void row(uint i) {
    uint class_ = codes[base + i];
    for (uint c = 0u; c < classes; c++) {
        room[c * stride + i] = 0.0f;
        room[(classes + c) * stride + i] = 0.0f;
    }
    for (uint j = 0u; j < p; j++) {
        uint c = labels[j];
        uint m = members_of(c);
        uint rank = rank_of(i, j);
        float value = distance_of(key(i, j));
        room[c * stride + i] += rank_weight(rank, m) * value;
        room[(classes + c) * stride + i] += rank_weight_slope(rank, m) * value;
    }
    float least = LARGEST;
    for (uint c = 0u; c < classes; c++) {
        if (members_of(c) == 0u) {
            room[c * stride + i] = LARGEST;
        }
        least = min(least, room[c * stride + i]);
    }
    float sum = 0.0f;
    for (uint c = 0u; c < classes; c++) {
        sum += exp(least - room[c * stride + i]);
    }
    set_loss(i, room[class_ * stride + i] - least + log(sum));
    if (!option(GRADIENT)) {
        return;
    }
    float f = factor(i);
    float range = 0.0f;
    for (uint c = 0u; c < classes; c++) {
        float g = (c == class_ ? 1.0f : 0.0f) - exp(least - room[c * stride + i]) / sum;
        room[c * stride + i] = g;
        range += g * room[(classes + c) * stride + i];
    }
    set_range(i, range, f);
    for (uint j = 0u; j < p; j++) {
        uint c = labels[j];
        float weight = rank_weight(rank_of(i, j), members_of(c));
        set_slope(i, j, weight * slope_of(key(i, j)) * room[c * stride + i], f);
    }
}
