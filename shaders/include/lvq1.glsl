// LVQ1's cost (src/parts/objective/lvq1.rs): d+ where the row is right, -d- where it is wrong.

FN void pair(bool has_plus, float a, bool has_minus, float b, float eps, OUT(float) loss, OUT(float) ga, OUT(float) gb) {
    bool right = has_plus && !(has_minus && a > b);
    loss = right ? a : (has_minus ? -b : 0.0f);
    ga = right ? 1.0f : 0.0f;
    gb = !right && has_minus ? -1.0f : 0.0f;
}
