// LVQ2.1's cost (src/parts/objective/lvq21.rs): d+ - d-.

FN void pair(bool has_plus, float a, bool has_minus, float b, float eps, OUT(float) loss, OUT(float) ga, OUT(float) gb) {
    ga = has_plus ? 1.0f : 0.0f;
    gb = has_minus ? -1.0f : 0.0f;
    loss = (has_plus ? a : 0.0f) - (has_minus ? b : 0.0f);
}
