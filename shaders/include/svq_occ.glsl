// SVQ-OCC (src/parts/objective/svq_occ.rs). RULE is the response: 0 gaussian, 1 student_t, 2 uniform (`shape` is gamma or nu);
// COST 0 contrastive, 1 brier, 2 cross_entropy. The contrastive cost is no mean over rows: `detect` sums its soft confusion
// matrix over all rows, svq_contrast.comp turns that into two slopes, and `row` uses them.

#define THETA_MIN 1e-6f

FN float least_key(uint i) {
    float least = key(i, 0u);
    for (uint j = 1u; j < p; j++) {
        least = min(least, key(i, j));
    }
    return least;
}

FN float response(uint i, uint j, float least) {
    float d = key(i, j);
    return RULE == 0u ? exp(shape * (least - d)) : (RULE == 1u ? pow(1.0f + d / shape, -0.5f * (shape + 1.0f)) : 1.0f);
}

// Soft step at the threshold, H = sg(z) and 1 - H.
FN void soft_step(uint i, uint j, OUT(float) h, OUT(float) hb) {
    float z = (max(thetas[j], THETA_MIN) - key(i, j)) / (sigma + EPS);
    float e = exp(-abs(z));
    float small = e / (1.0f + e);
    float large = 1.0f / (1.0f + e);
    h = z >= 0.0f ? large : small;
    hb = z >= 0.0f ? small : large;
}

// Responsibility of the target class, r, and 1 - r; the responses' sum.
FN void responsibilities(uint i, float least, OUT(float) total, OUT(float) r, OUT(float) rb) {
    total = RULE == 1u ? EPS : 0.0f;
    for (uint j = 0u; j < p; j++) {
        total += response(i, j, least);
    }
    r = 0.0f;
    rb = RULE == 1u ? EPS / total : 0.0f;
    for (uint j = 0u; j < p; j++) {
        float h;
        float hb;
        soft_step(i, j, h, hb);
        float share = response(i, j, least) / total;
        r += share * h;
        rb += share * hb;
    }
}

FN void detect(uint i) {
    float total;
    float r;
    float rb;
    responsibilities(i, least_key(i), total, r, rb);
    float f = factor(i);
    bool is_target = codes[base + i] == target;
    r = max(r, EPS) * f;
    rb = max(rb, EPS) * f;
    outcome[2u * stride + i] = is_target ? r : 0.0f;
    outcome[3u * stride + i] = is_target ? rb : 0.0f;
    outcome[4u * stride + i] = is_target ? 0.0f : r;
    outcome[5u * stride + i] = is_target ? 0.0f : rb;
}

FN void row(uint i) {
    bool is_target = codes[base + i] == target;
    float f = factor(i);
    float targets = dynamic[TARGETS] + EPS * dynamic[INVERSE_ROWS];
    float share = is_target ? alpha / targets : 0.0f;
    float least = least_key(i);
    float total;
    float r;
    float rb;
    responsibilities(i, least, total, r, rb);
    float passes = r < EPS || rb < EPS ? 0.0f : (r == EPS || rb == EPS ? 0.5f : 1.0f);
    float rest = 1.0f - alpha;
    float value = 0.0f;
    float slope;
    if (COST == 0u) {
        slope = passes * dynamic[is_target ? BY_TARGET : BY_OTHER];
    } else {
        float right = max(is_target ? r : rb, EPS);
        float wrong = max(is_target ? rb : r, EPS);
        float sign = is_target ? -1.0f : 1.0f;
        value = rest * (COST == 2u ? -log(right) : wrong * wrong);
        slope = rest * sign * passes * (COST == 2u ? 1.0f / right : 2.0f * wrong);
    }
    float loss = value;
    float range = 0.0f;
    // range + eps, from the height of rank 1.
    for (uint j = 0u; j < p; j++) {
        float d = key(i, j);
        float g = 0.0f;
        if (is_target) {
            uint rank = rank_of(i, j);
            float h = height(rank);
            loss += share * h * d;
            range += share * d * height_slope(rank);
            g = share * h;
        }
        if (option(GRADIENT)) {
            float h;
            float hb;
            soft_step(i, j, h, hb);
            float pj = response(i, j, least) / total;
            float w = RULE == 0u ? -shape * pj : (RULE == 1u ? -0.5f * (shape + 1.0f) * pj / (shape + d) : 0.0f);
            float by_theta = pj * h * hb / (sigma + EPS);
            // H - r = rb - Hb, from the two numbers that are small.
            float above = r < rb ? h - r : rb - hb;
            set_slope(i, j, g + slope * (w * above - by_theta), f);
            float t = thetas[j];
            float clamp_ = t > THETA_MIN ? 1.0f : (t == THETA_MIN ? 0.5f : 0.0f);
            theta_slopes[j * stride + i] = f == 0.0f ? 0.0f : slope * by_theta * clamp_ * f;
        }
    }
    set_loss(i, loss);
    if (COST == 0u && base + i == 0u) {
        outcome[0] += dynamic[CONTRAST];
    }
    set_range(i, range, f);
}

FN float target_score(uint i) {
    float total;
    float r;
    float rb;
    responsibilities(i, least_key(i), total, r, rb);
    return clamp(r, 0.0f, 1.0f);
}
