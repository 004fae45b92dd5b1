// What distance a key stands for (src/parts/kernel/mod.rs): itself, -2 expm1(-u) of the Gaussian kernel, or exp(ell), of which only
// ratios can be formed: each pair is divided by the larger of the two.

#define LN_EPS -23.025850929940457f

FN void see(float k, OUT(float) value, OUT(float) slope) {
    value = k;
    slope = 1.0f;
    if (MAP == 1u) {
        value = -2.0f * expm1_(-k);
        slope = 2.0f * exp(-k);
    } else if (MAP == 2u) {
        value = exp(k);
        slope = value;
    }
}

FN float distance_of(float k) {
    float value;
    float slope;
    see(k, value, slope);
    return value;
}

FN float slope_of(float k) {
    float value;
    float slope;
    see(k, value, slope);
    return slope;
}

// Two distances in one unit, with their slopes, and eps in that unit.
FN void see_pair(float a, float b, OUT(float) va, OUT(float) sa, OUT(float) vb, OUT(float) sb, OUT(float) eps) {
    if (MAP == 2u) {
        float unit = max(max(a, b), LN_EPS);
        va = exp(a - unit);
        sa = va;
        vb = exp(b - unit);
        sb = vb;
        eps = exp(LN_EPS - unit);
    } else {
        see(a, va, sa);
        see(b, vb, sb);
        eps = EPS;
    }
}

// A distance and a threshold in one unit; the threshold's slope is with respect to theta.
FN void see_against(float a, float theta, OUT(float) va, OUT(float) sa, OUT(float) vt, OUT(float) st, OUT(float) eps) {
    if (MAP == 2u) {
        float ln_theta = theta > 0.0f ? log(theta) : -LARGEST;
        float unit = max(max(a, ln_theta), LN_EPS);
        va = exp(a - unit);
        sa = va;
        vt = exp(ln_theta - unit);
        // Far below the unit of the distance a change of theta is lost, not infinite.
        st = exp(-unit);
        eps = exp(LN_EPS - unit);
    } else {
        see(a, va, sa);
        vt = theta;
        st = 1.0f;
        eps = EPS;
    }
}
