// The nearest prototype of each class, with cross-entropy over their distances (src/parts/objective/cross_entropy.rs):
// pi = softmax(-delta), L = -log pi_y, dL/ddelta_c = [c = y] - pi_c.

// Least key of a class, NONE as its prototype where it has none.
FN uint nearest_of(uint i, uint c, OUT(float) least) {
    uint winner = NONE;
    least = LARGEST;
    for (uint j = 0u; j < p; j++) {
        float k = key(i, j);
        if (labels[j] == c && (winner == NONE || k < least)) {
            winner = j;
            least = k;
        }
    }
    return winner;
}

FN float delta(uint i, uint c) {
    float k;
    return nearest_of(i, c, k) == NONE ? LARGEST : distance_of(k);
}

FN void row(uint i) {
    uint class_ = codes[base + i];
    // Winners once: room holds for each class its least key and its distance.
    float least = LARGEST;
    for (uint c = 0u; c < classes; c++) {
        float k;
        bool there = nearest_of(i, c, k) != NONE;
        float d = there ? distance_of(k) : LARGEST;
        room[c * stride + i] = there ? k : LARGEST;
        room[(classes + c) * stride + i] = d;
        least = min(least, d);
    }
    float sum = 0.0f;
    for (uint c = 0u; c < classes; c++) {
        sum += exp(least - room[(classes + c) * stride + i]);
    }
    set_loss(i, room[(classes + class_) * stride + i] - least + log(sum));
    if (!option(GRADIENT)) {
        return;
    }
    float f = factor(i);
    for (uint c = 0u; c < classes; c++) {
        float pi = exp(least - room[(classes + c) * stride + i]) / sum;
        room[(classes + c) * stride + i] = (c == class_ ? 1.0f : 0.0f) - pi;
    }
    for (uint j = 0u; j < p; j++) {
        uint c = labels[j];
        float k = key(i, j);
        float g = 0.0f;
        if (k == room[c * stride + i]) {
            float share = 1.0f;
            bool first = true;
            float ties = 0.0f;
            for (uint o = 0u; o < p; o++) {
                if (labels[o] == c && key(i, o) == k) {
                    ties += 1.0f;
                    first = first && o >= j;
                }
            }
            share = option(TIES_EVEN) ? 1.0f / ties : (first ? 1.0f : 0.0f);
            g = share * room[(classes + c) * stride + i] * slope_of(k);
        }
        set_slope(i, j, g, f);
    }
}
