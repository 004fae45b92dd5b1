// The transfer functions (src/parts/objective/transfer.rs) and the GLVQ ratio (glvq.rs).

FN void transfer(float z, OUT(float) value, OUT(float) slope) {
    value = z;
    slope = 1.0f;
    if (TRANSFER != 0u) {
        // e <= 1: s and 1 - s are both formed by division, neither by a difference.
        float e = exp(-abs(beta * z));
        float small = e / (1.0f + e);
        float large = 1.0f / (1.0f + e);
        float s = beta * z >= 0.0f ? large : small;
        float ds = beta * small * large;
        value = TRANSFER == 1u ? s : z * s;
        slope = TRANSFER == 1u ? ds : s + z * ds;
    }
}

// mu = (a - b)/(a + b + eps) and its derivatives, divided twice by the sum: its square would overflow.
FN void ratio(float a, float b, float eps, OUT(float) mu, OUT(float) by_a, OUT(float) by_b) {
    float inverse = 1.0f / (a + b + eps);
    mu = (a - b) * inverse;
    by_a = (b + 0.5f * eps) * inverse * (2.0f * inverse);
    by_b = -((a + 0.5f * eps) * inverse * (2.0f * inverse));
}
