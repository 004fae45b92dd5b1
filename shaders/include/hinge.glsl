// Margin loss on class scores (src/parts/objective/hinge.rs).

FN void row(uint i) {
    uint class_ = codes[base + i];
    float own = room[(classes + class_) * stride + i];
    float worst = -LARGEST;
    float ties = 0.0f;
    for (uint c = 0u; c < classes; c++) {
        float s = room[(classes + c) * stride + i];
        if (c != class_) {
            ties = s > worst ? 1.0f : (s == worst ? ties + 1.0f : ties);
            worst = max(worst, s);
        }
    }
    float h = worst - own + margin;
    bool counts = classes > 1u && h > 0.0f;
    set_loss(i, counts ? h : 0.0f);
    if (!option(GRADIENT)) {
        return;
    }
    float f = factor(i);
    for (uint c = 0u; c < classes; c++) {
        float s = room[(classes + c) * stride + i];
        float g = c == class_ ? -1.0f : (s == worst ? 1.0f / ties : 0.0f);
        float dn = counts && f != 0.0f ? g * f / neighbourhood[(p + 1u) * classes + c] : 0.0f;
        room[c * stride + i] = dn;
        room[(classes + c) * stride + i] = dn * s;
    }
}
