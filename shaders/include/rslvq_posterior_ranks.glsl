// Robust soft LVQ with responsibilities times rank weights: L = -log(a + eps) with a the weight of the right prototypes.

FN void row(uint i) {
    uint class_ = codes[base + i];
    float heights;
    float sum;
    ranked_posterior(i, heights, sum);
    float a = 0.0f;
    for (uint j = 0u; j < p; j++) {
        a += labels[j] == class_ ? room[j * stride + i] : 0.0f;
    }
    set_loss(i, -log(a + EPS));
    if (!option(GRADIENT)) {
        return;
    }
    float f = factor(i);
    float half_ = 0.5f / (sigma * sigma);
    if (option(LEARN_RANGE)) {
        // dh^ = (dh - h^ sum dh)/(sum h + eps), du = P dh^: dL = -(sum over right du - a sum du)/(sum u + eps)/(a + eps).
        float slopes_ = 0.0f;
        for (uint j = 0u; j < p; j++) {
            slopes_ += height_slope(rank_of(i, j));
        }
        float share = slopes_ / heights;
        float right = 0.0f;
        float all = 0.0f;
        for (uint j = 0u; j < p; j++) {
            uint rank = rank_of(i, j);
            float du = room[(p + j) * stride + i] / heights / sum * (height_slope(rank) - height(rank) * share);
            all += du;
            right += labels[j] == class_ ? du : 0.0f;
        }
        set_range(i, -(right - a * all) / (a + EPS), f);
    }
    // The weights do not quite sum to 1: what eps takes from all of them.
    float tau = a * EPS / sum / (a + EPS) * half_;
    for (uint j = 0u; j < p; j++) {
        float hit = labels[j] == class_ ? 1.0f : 0.0f;
        float g = room[j * stride + i] * (hit - a) * half_ / (a + EPS) - room[(p + j) * stride + i] * tau;
        set_slope(i, j, g * slope_of(key(i, j)), f);
    }
}
