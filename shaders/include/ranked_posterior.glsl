// Responsibilities times rank weights: u/(sum u + eps), u = P h^, P = e/(sum e + eps), h^ = h/(sum h + eps).

// Weights into room[j], P into room[p + j]; ranks are counted again where they are needed.
FN void ranked_posterior(uint i, OUT(float) heights, OUT(float) sum) {
    float least = least_distance(i);
    float responsibilities = 0.0f;
    float both = 0.0f;
    heights = EPS;
    for (uint j = 0u; j < p; j++) {
        float e = responsibility(i, j, least);
        float h = height(rank_of(i, j));
        heights += h;
        responsibilities += e;
        both += e * h;
        room[j * stride + i] = e * h;
        room[(p + j) * stride + i] = e;
    }
    float total = both / heights / (responsibilities + EPS);
    sum = total + EPS;
    for (uint j = 0u; j < p; j++) {
        room[j * stride + i] *= total / sum / both;
        room[(p + j) * stride + i] /= responsibilities + EPS;
    }
}
