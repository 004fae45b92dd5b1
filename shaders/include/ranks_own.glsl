// All prototypes of the row's class by rank, each against the nearest of all others (supervised neural gas), with the GLVQ ratio.

FN void row(uint i) {
    uint class_ = codes[base + i];
    uint minus = NONE;
    float d_minus = 0.0f;
    uint m = members_of(class_);
    for (uint j = 0u; j < p; j++) {
        float k = key(i, j);
        if (labels[j] != class_ && (minus == NONE || k < d_minus)) {
            minus = j;
            d_minus = k;
        }
    }
    float f = factor(i);
    float loss = 0.0f;
    float range = 0.0f;
    float through_minus = 0.0f;
    for (uint j = 0u; j < p; j++) {
        float g_own = 0.0f;
        if (labels[j] == class_) {
            uint rank = rank_of(i, j);
            float weight = rank_weight(rank, m);
            float mu = -1.0f;
            float by_own = 0.0f;
            float by_minus = 0.0f;
            if (minus != NONE) {
                float a;
                float sa;
                float b;
                float sb;
                float eps;
                see_pair(key(i, j), d_minus, a, sa, b, sb, eps);
                ratio(a, b, eps, mu, by_own, by_minus);
                by_own *= sa;
                by_minus *= sb;
            }
            float value;
            float slope;
            transfer(mu + margin, value, slope);
            loss += weight * value;
            range += value * rank_weight_slope(rank, m);
            g_own = weight * slope * by_own;
            through_minus += weight * slope * by_minus;
        }
        if (option(GRADIENT)) {
            set_slope(i, j, g_own, f);
        }
    }
    set_loss(i, loss);
    if (!option(GRADIENT)) {
        return;
    }
    set_range(i, minus == NONE ? 0.0f : range, f);
    if (minus == NONE) {
        return;
    }
    float ties = 1.0f;
    if (option(TIES_EVEN)) {
        ties = 0.0f;
        for (uint j = 0u; j < p; j++) {
            ties += labels[j] != class_ && key(i, j) == d_minus ? 1.0f : 0.0f;
        }
    }
    for (uint j = 0u; j < p; j++) {
        bool shares = j == minus || (option(TIES_EVEN) && key(i, j) == d_minus);
        if (labels[j] != class_ && shares) {
            set_slope(i, j, lr_ratio * through_minus / ties, f);
        }
    }
}
