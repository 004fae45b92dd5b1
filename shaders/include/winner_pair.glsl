// The nearest prototype of the row's own class and the nearest of all others, for the objectives of those two distances:
// `pair(has_plus, plus, has_minus, minus, eps, loss, g_plus, g_minus)`.

FN void row(uint i) {
    uint class_ = codes[base + i];
    uint plus = NONE;
    uint minus = NONE;
    float d_plus = 0.0f;
    float d_minus = 0.0f;
    for (uint j = 0u; j < p; j++) {
        float k = key(i, j);
        if (labels[j] == class_) {
            if (plus == NONE || k < d_plus) {
                plus = j;
                d_plus = k;
            }
        } else if (minus == NONE || k < d_minus) {
            minus = j;
            d_minus = k;
        }
    }
    float a = 0.0f;
    float b = 0.0f;
    float sa = 0.0f;
    float sb = 0.0f;
    float eps = EPS;
    if (plus != NONE && minus != NONE) {
        see_pair(d_plus, d_minus, a, sa, b, sb, eps);
    } else if (plus != NONE) {
        see(d_plus, a, sa);
    } else {
        see(d_minus, b, sb);
    }
    float loss;
    float ga;
    float gb;
    pair(plus != NONE, a, minus != NONE, b, eps, loss, ga, gb);
    set_loss(i, loss);
    if (!option(GRADIENT)) {
        return;
    }
    float f = factor(i);
    ga *= sa;
    gb *= sb;
    if (option(TIES_EVEN)) {
        float na = 0.0f;
        float nb = 0.0f;
        for (uint j = 0u; j < p; j++) {
            bool own = labels[j] == class_;
            float k = key(i, j);
            na += own && k == d_plus ? 1.0f : 0.0f;
            nb += !own && k == d_minus ? 1.0f : 0.0f;
        }
        for (uint j = 0u; j < p; j++) {
            bool own = labels[j] == class_;
            float k = key(i, j);
            float g = own ? (k == d_plus ? ga / na : 0.0f) : (k == d_minus ? gb / nb : 0.0f);
            set_slope(i, j, g, f);
        }
        return;
    }
    for (uint j = 0u; j < p; j++) {
        set_slope(i, j, j == plus ? ga : (j == minus ? gb : 0.0f), f);
    }
}
