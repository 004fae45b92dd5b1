// Robust soft LVQ (src/parts/objective/rslvq.rs): L = -log(c/(w + eps) + eps), or without eps.

FN void exact(uint i) {
    uint class_ = codes[base + i];
    float scale = 0.5f / (sigma * sigma);
    float all = LARGEST;
    float right = LARGEST;
    bool any = false;
    for (uint j = 0u; j < p; j++) {
        float d = distance_of(key(i, j));
        all = min(all, d);
        if (labels[j] == class_) {
            right = min(right, d);
            any = true;
        }
    }
    float sum = 0.0f;
    float sum_right = 0.0f;
    for (uint j = 0u; j < p; j++) {
        float d = distance_of(key(i, j));
        sum += exp((all - d) * scale);
        sum_right += labels[j] == class_ ? exp((right - d) * scale) : 0.0f;
    }
    set_loss(i, any ? (right - all) * scale + log(sum) - log(sum_right) : -LN_EPS);
    if (!option(GRADIENT)) {
        return;
    }
    float f = factor(i);
    for (uint j = 0u; j < p; j++) {
        float k = key(i, j);
        float d = distance_of(k);
        float q = labels[j] == class_ ? exp((right - d) * scale) / sum_right : 0.0f;
        float g = any ? (q - exp((all - d) * scale) / sum) * scale : 0.0f;
        set_slope(i, j, g * slope_of(k), f);
    }
}

FN void row(uint i) {
    if (option(EXACT_LOG)) {
        exact(i);
        return;
    }
    uint class_ = codes[base + i];
    float least = least_distance(i);
    float sum = 0.0f;
    for (uint j = 0u; j < p; j++) {
        sum += responsibility(i, j, least);
    }
    float c = 0.0f;
    float w = 0.0f;
    for (uint j = 0u; j < p; j++) {
        float r = responsibility(i, j, least) / sum;
        c += labels[j] == class_ ? r : 0.0f;
        w += r;
    }
    set_loss(i, -log(c / (w + EPS) + EPS));
    if (!option(GRADIENT)) {
        return;
    }
    float f = factor(i);
    float unit = 0.5f / (sigma * sigma) / (c + EPS * (1.0f + EPS));
    for (uint j = 0u; j < p; j++) {
        float r = responsibility(i, j, least) / sum;
        float hit = labels[j] == class_ ? 1.0f : 0.0f;
        set_slope(i, j, r * (hit - c) * unit * slope_of(key(i, j)), f);
    }
}
