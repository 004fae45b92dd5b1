FN void main() {
    uint t = gl_LocalInvocationIndex;
    uint tx = t % 8u;
    uint ty = t / 8u;
    bool gradient = (OPTIONS & GRADIENT) != 0u;
    for (uint e = t; e < p * l; e += ROWS) {
        pulls[e] = 0.0f;
    }
    if (RELEVANCE != 0u) {
        for (uint e = t; e < l; e += ROWS) {
            squares[e] = 0.0f;
        }
    }
    for (uint r0 = gl_WorkGroupID.x * ROWS; r0 < n; r0 += gl_NumWorkGroups.x * ROWS) {
        uint i = r0 + t;
        uint class_ = i < n ? codes[base + i] : NONE;
        uint plus = NONE;
        uint minus = NONE;
        float d_plus = LARGEST;
        float d_minus = LARGEST;
        for (uint j0 = 0u; j0 < p; j0 += ROWS) {
            float d[8][8];
            UNROLL for (uint e = 0u; e < 8u; e++) {
                UNROLL for (uint f = 0u; f < 8u; f++) {
                    d[e][f] = 0.0f;
                }
            }
            for (uint q0 = 0u; q0 < l; q0 += DEPTH) {
                for (uint e = t; e < DEPTH * ROWS; e += ROWS) {
                    uint q = e % DEPTH;
                    uint r = e / DEPTH;
                    bool inside = q0 + q < l;
                    tile[q * WIDTH + r] = inside && r0 + r < n ? y[(y_base + r0 + r) * ld + q0 + q] : 0.0f;
                    tile[BS + q * WIDTH + r] = inside && j0 + r < p ? v[(j0 + r) * l + q0 + q] : 0.0f;
                }
                barrier();
                for (uint q = 0u; q < DEPTH; q++) {
                    float weight = RELEVANCE != 0u ? own[min(q0 + q, l - 1u)] : 1.0f;
                    float a[8];
                    float b[8];
                    UNROLL for (uint e = 0u; e < 8u; e++) {
                        a[e] = tile[q * WIDTH + tx + 8u * e];
                        b[e] = tile[BS + q * WIDTH + ty + 8u * e];
                    }
                    UNROLL for (uint e = 0u; e < 8u; e++) {
                        UNROLL for (uint f = 0u; f < 8u; f++) {
                            float s = a[e] - b[f];
                            d[e][f] += RELEVANCE != 0u ? weight * s * s : s * s;
                        }
                    }
                }
                barrier();
            }
            UNROLL for (uint e = 0u; e < 8u; e++) {
                UNROLL for (uint f = 0u; f < 8u; f++) {
                    tile[(ty + 8u * f) * WIDTH + tx + 8u * e] = d[e][f];
                }
            }
            barrier();
            for (uint j = j0; j < min(j0 + ROWS, p); j++) {
                float k = tile[(j - j0) * WIDTH + t];
                bool own_ = labels[j] == class_;
                bool first_plus = own_ && (plus == NONE || k < d_plus);
                bool first_minus = !own_ && (minus == NONE || k < d_minus);
                plus = first_plus ? j : plus;
                d_plus = first_plus ? k : d_plus;
                minus = first_minus ? j : minus;
                d_minus = first_minus ? k : d_minus;
            }
            barrier();
        }
        float ga = 0.0f;
        float gb = 0.0f;
        float f = 0.0f;
        if (i < n) {
            float loss;
            pair(plus != NONE, d_plus, minus != NONE, d_minus, EPS, loss, ga, gb);
            f = factors[base + i];
            outcome[i] = f == 0.0f ? 0.0f : loss * f;
        }
        f *= dynamic[0];
        // A side without a prototype pulls prototype 0 with nothing.
        plus_[t] = plus == NONE ? 0u : plus * l;
        minus_[t] = minus == NONE ? 0u : minus * l;
        g_plus[t] = plus == NONE || f == 0.0f ? 0.0f : ga * f;
        g_minus[t] = minus == NONE || f == 0.0f ? 0.0f : gb * f;
        barrier();
        if (gradient) {
            uint count = min(ROWS, n - r0);
            for (uint a = t; a < l; a += ROWS) {
                float all = 0.0f;
                for (uint r = 0u; r < count; r++) {
                    float x = y[(y_base + r0 + r) * ld + a];
                    uint j = plus_[r] + a;
                    uint k = minus_[r] + a;
                    float e_plus = x - v[j];
                    float e_minus = x - v[k];
                    float to_plus = g_plus[r] * e_plus;
                    float to_minus = g_minus[r] * e_minus;
                    pulls[j] += to_plus;
                    pulls[k] += to_minus;
                    if (RELEVANCE != 0u) {
                        all += to_plus * e_plus + to_minus * e_minus;
                    }
                    if ((OPTIONS & PUSH) != 0u) {
                        h[(r0 + r) * l + a] = to_plus + to_minus;
                    }
                }
                if (RELEVANCE != 0u) {
                    squares[a] += all;
                }
            }
        }
        barrier();
    }
    if (gradient) {
        uint cells = p * l;
        uint at = gl_WorkGroupID.x * (RELEVANCE != 0u ? 2u : 1u) * cells;
        for (uint e = t; e < cells; e += ROWS) {
            sums[at + e] = pulls[e] * (RELEVANCE != 0u ? own[e % l] : 1.0f);
            if (RELEVANCE != 0u) {
                sums[at + cells + e] = e < l ? squares[e] : 0.0f;
            }
        }
    }
}
