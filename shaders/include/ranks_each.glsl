// Cross-entropy of classwise distances that are rank-weighted means.

FN void row(uint i) {
    uint class_ = codes[base + i];
    float least = LARGEST;
    for (uint c = 0u; c < classes; c++) {
        uint m = members_of(c);
        float sum = 0.0f;
        float slope = 0.0f;
        for (uint j = 0u; j < p; j++) {
            if (labels[j] == c) {
                uint rank = rank_in_class(i, j);
                float value;
                float s;
                see(key(i, j), value, s);
                float weight = rank_weight(rank, m);
                sum += weight * value;
                slope += rank_weight_slope(rank, m) * value;
            }
        }
        float d = m == 0u ? LARGEST : sum;
        room[c * stride + i] = d;
        room[(classes + c) * stride + i] = slope;
        least = min(least, d);
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
        float weight = rank_weight(rank_in_class(i, j), members_of(c));
        set_slope(i, j, weight * slope_of(key(i, j)) * room[c * stride + i], f);
    }
}
