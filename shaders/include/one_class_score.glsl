// Scores of the one-class models: at the winner (RULE 3) or weighted by responsibility (0) or both (2).

FN float target_score(uint i) {
    if (RULE == 3u) {
        return score_of(excess(i, nearest(i)));
    }
    float m = 0.0f;
    if (RULE == 2u) {
        float heights;
        float sum;
        ranked_posterior(i, heights, sum);
        for (uint j = 0u; j < p; j++) {
            m += room[j * stride + i] * excess(i, j);
        }
        return score_of(m);
    }
    float least = least_distance(i);
    float total = 0.0f;
    for (uint j = 0u; j < p; j++) {
        float e = responsibility(i, j, least);
        total += e;
        m += e * excess(i, j);
    }
    return score_of(m / total);
}
