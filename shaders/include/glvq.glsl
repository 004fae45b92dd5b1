// The GLVQ ratio (src/parts/objective/glvq.rs).

FN void pair(bool has_plus, float a, bool has_minus, float b, float eps, OUT(float) loss, OUT(float) ga, OUT(float) gb) {
    float slope;
    ga = 0.0f;
    gb = 0.0f;
    if (has_plus && has_minus) {
        float mu;
        ratio(a, b, eps, mu, ga, gb);
        transfer(mu + margin, loss, slope);
        ga *= slope;
        gb *= slope;
    } else {
        // No prototype of the class (of another class): mu is at its bound whatever the distance.
        transfer((has_plus ? -1.0f : 1.0f) + margin, loss, slope);
    }
}
