// LVQ1 (RULE 0) and LVQ2.1 (RULE 1; 2 with a window, whose width is `margin`, on squared distances; 3 on distances) in batch form
// (src/parts/rule/hebbian.rs): sum s (x - w) is a backward product with s as the slope, the count goes where thresholds' slopes go.

FN void row(uint i) {
    uint class_ = codes[base + i];
    float f = factor(i);
    find(i);
    set_loss(i, RULE == 0u ? d_winner_ : d_plus_ - d_minus_);
    if (!option(GRADIENT)) {
        return;
    }
    bool counts = f != 0.0f;
    if (RULE >= 2u) {
        float a = RULE == 2u ? sqrt(d_plus_) : d_plus_;
        float b = RULE == 2u ? sqrt(d_minus_) : d_minus_;
        bool inside = (a == 0.0f && b == 0.0f) || min(a, b) / max(a, b) > (1.0f - margin) / (1.0f + margin);
        counts = counts && inside;
    }
    for (uint j = 0u; j < p; j++) {
        float s = 0.0f;
        if (RULE == 0u) {
            s = j == winner_ ? (labels[j] == class_ ? 1.0f : -1.0f) : 0.0f;
        } else {
            s = j == plus_ ? 1.0f : (j == minus_ ? -1.0f : 0.0f);
        }
        set_slope(i, j, counts ? s : 0.0f, f);
        theta_slopes[j * stride + i] = counts && s != 0.0f ? f : 0.0f;
    }
}
