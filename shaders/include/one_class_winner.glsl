// One-class cost at the nearest prototype.

FN void row(uint i) {
    uint winner = nearest(i);
    float value;
    float g;
    float gt;
    cost(i, winner, codes[base + i] == target, value, g, gt);
    set_loss(i, value);
    if (!option(GRADIENT)) {
        return;
    }
    float f = factor(i);
    for (uint j = 0u; j < p; j++) {
        set_slope(i, j, j == winner ? g : 0.0f, f);
        set_theta_slope(i, j, j == winner ? gt : 0.0f, f);
    }
}
