// Reasoning about classes from detected components (src/parts/cooperation/reasoning.rs). RULE is the similarity: 0 gaussian, 1 the
// complement of a dissimilarity, 2 rank_scaled_gaussian (`shape` is lambda), 3 the key itself.
//
// `neighbourhood` holds the reasonings made ready: pk - nk (p x classes), 1^T nk, and the denominators.

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
        float scale = exp(-float(rank_among_all(i, j)) / shape);
        s = exp(-d * scale);
        slope = -s * scale;
    }
    return s;
}

FN float class_score(uint i, uint c) {
    float sum = neighbourhood[p * classes + c];
    for (uint j = 0u; j < p; j++) {
        sum += room[(2u * classes + j) * stride + i] * neighbourhood[j * classes + c];
    }
    return sum / neighbourhood[(p + 1u) * classes + c];
}

// Similarities into room[2 classes + j], scores into room[classes + c].
FN void scores(uint i) {
    for (uint j = 0u; j < p; j++) {
        float slope;
        room[(2u * classes + j) * stride + i] = similarity(i, j, slope);
    }
    for (uint c = 0u; c < classes; c++) {
        room[(classes + c) * stride + i] = class_score(i, c);
    }
}
