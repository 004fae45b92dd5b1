// Momentum on what is descended along (src/parts/optimizer/sgd.rs): 0 none, 1 plain, 2 with Nesterov's look ahead.

FN float carried(uint kind, float z, float mu, float old, OUT(float) b) {
    b = z + mu * old;
    return kind == 2u ? z + mu * b : b;
}
