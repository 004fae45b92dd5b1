// Median LVQ (src/parts/rule/medoid.rs): how much each row weighs in the choice of its prototypes' places. RULE 0: of the prototype it
// is nearest to; 1: of all of its class.

FN void row(uint i) {
    uint class_ = codes[base + i];
    float f = factor(i);
    find(i);
    float mu = 1.0f;
    if (plus_ != NONE) {
        mu = minus_ == NONE ? -1.0f : (d_plus_ - d_minus_) / (d_plus_ + d_minus_ + EPS);
    }
    set_loss(i, mu);
    if (!option(GRADIENT)) {
        return;
    }
    float weight = mu < 0.0f ? -mu : 0.1f * mu;
    for (uint j = 0u; j < p; j++) {
        bool answers = RULE == 0u ? j == plus_ : labels[j] == class_;
        set_slope(i, j, answers ? weight : 0.0f, f);
        theta_slopes[j * stride + i] = answers && f > 0.0f ? 1.0f : 0.0f;
    }
}
