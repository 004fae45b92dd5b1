// The nearest prototype of each class, with cross-entropy over their distances (src/parts/objective/cross_entropy.rs):
// pi = softmax(-delta), L = -log pi_y, dL/ddelta_c = [c = y] - pi_c.

// Of each class the least key into room[c] and the number of its prototype into room[classes + c] (-1 where it has none). Numbers are
// exact: there are fewer than 2^24.
FN void nearest_of_each(uint i) {
    for (uint c = 0u; c < classes; c++) {
        room[c * stride + i] = LARGEST;
        room[(classes + c) * stride + i] = -1.0f;
    }
    for (uint j = 0u; j < p; j++) {
        float k = key(i, j);
        uint c = labels[j];
        if (room[(classes + c) * stride + i] < 0.0f || k < room[c * stride + i]) {
            room[c * stride + i] = k;
            room[(classes + c) * stride + i] = float(j);
        }
    }
}

FN float delta(uint i, uint c) {
    float k = room[c * stride + i];
    return room[(classes + c) * stride + i] < 0.0f ? LARGEST : distance_of(k);
}

FN void row(uint i) {
    uint class_ = codes[base + i];
    nearest_of_each(i);
    float least = LARGEST;
    for (uint c = 0u; c < classes; c++) {
        least = min(least, delta(i, c));
    }
    float sum = 0.0f;
    for (uint c = 0u; c < classes; c++) {
        sum += exp(least - delta(i, c));
    }
    set_loss(i, delta(i, class_) - least + log(sum));
    if (!option(GRADIENT)) {
        return;
    }
    float f = factor(i);
    for (uint j = 0u; j < p; j++) {
        uint c = labels[j];
        float k = key(i, j);
        bool wins = room[(classes + c) * stride + i] == float(j);
        float share = wins ? 1.0f : 0.0f;
        if (option(TIES_EVEN)) {
            share = 0.0f;
            if (k == room[c * stride + i]) {
                float ties = 0.0f;
                for (uint o = 0u; o < p; o++) {
                    ties += labels[o] == c && key(i, o) == k ? 1.0f : 0.0f;
                }
                share = 1.0f / ties;
            }
        }
        float g = 0.0f;
        if (share > 0.0f) {
            float pi = exp(least - delta(i, c)) / sum;
            g = share * ((c == class_ ? 1.0f : 0.0f) - pi) * slope_of(k);
        }
        set_slope(i, j, g, f);
    }
}
