// Soft LVQ (src/parts/objective/nllr.rs): L = -log(c/(q + eps) + eps) of the right and the wrong classes' responsibility.

FN void row(uint i) {
    uint class_ = codes[base + i];
    float least = least_distance(i);
    float sum = 0.0f;
    float c = 0.0f;
    float q = 0.0f;
    for (uint j = 0u; j < p; j++) {
        sum += responsibility(i, j, least);
    }
    for (uint j = 0u; j < p; j++) {
        float r = responsibility(i, j, least) / sum;
        c += labels[j] == class_ ? r : 0.0f;
        q += labels[j] == class_ ? 0.0f : r;
    }
    set_loss(i, -log(c / (q + EPS) + EPS));
    if (!option(GRADIENT)) {
        return;
    }
    float f = factor(i);
    float half_ = 0.5f / (sigma * sigma);
    for (uint j = 0u; j < p; j++) {
        float r = responsibility(i, j, least) / sum;
        float u = labels[j] == class_ ? q : -c;
        // Divided one after the other: the product may underflow.
        float g = r * u / (q + EPS) / (c + EPS * (q + EPS)) * half_;
        set_slope(i, j, g * slope_of(key(i, j)), f);
    }
}
