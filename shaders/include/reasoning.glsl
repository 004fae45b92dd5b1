// Reasoning about classes from detected components (src/parts/cooperation/reasoning.rs). RULE is the similarity: 0 gaussian, 1 the
// complement of a dissimilarity, 2 rank_scaled_gaussian (`shape` is lambda), 3 the key itself.
//
// `neighbourhood` holds the reasonings made ready: pk - nk (p x classes), 1^T nk, and the denominators. In `room`: dN in row c, scores P
// (then dN P) in row classes + c, similarities S in row 2 classes + j.

FN float similarity(uint i, uint j, OUT(float) slope) {
    float d = key(i, j);
    float s = d;
    slope = 1.0f;
    if (RULE == 0u) {
        float half_ = 0.5f / (sigma * sigma);
        s = exp(-d * half_);
        slope = -s * half_;
    } else if (RULE == 1u) {
        s = 1.0f - d;
        slope = -1.0f;
    } else if (RULE == 2u) {
        float scale = exp(-float(ranks[j * stride + i]) / shape);
        s = exp(-d * scale);
        slope = -s * scale;
    }
    return s;
}

FN void detect(uint i, uint j) {
    float slope;
    room[(2u * classes + j) * stride + i] = similarity(i, j, slope);
}

FN void score(uint i, uint c) {
    float sum = neighbourhood[p * classes + c];
    for (uint j = 0u; j < p; j++) {
        sum += room[(2u * classes + j) * stride + i] * neighbourhood[j * classes + c];
    }
    sum /= neighbourhood[(p + 1u) * classes + c];
    room[(classes + c) * stride + i] = sum;
    outcome[c * stride + i] = sum;
}

// dL/dS = dN (pk - nk)^T. dN holds the row's factor already.
FN void slope(uint i, uint j) {
    float by_key;
    similarity(i, j, by_key);
    float ds = 0.0f;
    for (uint c = 0u; c < classes; c++) {
        ds += room[c * stride + i] * neighbourhood[j * classes + c];
    }
    set_slope(i, j, ds * by_key, 1.0f);
}
