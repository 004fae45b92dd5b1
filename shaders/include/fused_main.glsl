void main() {
    uint t = gl_LocalInvocationIndex;
    uint tx = t % 16u;
    uint ty = t / 16u;
    bool gradient = (OPTIONS & GRADIENT) != 0u;
    for (uint e = t; e < p * l; e += 256u) {
        pulls[e] = 0.0f;
    }
    if (RELEVANCE != 0u) {
        for (uint e = t; e < 4u * l; e += 256u) {
            squares[e] = 0.0f;
        }
    }
    for (uint r0 = gl_WorkGroupID.x * ROWS; r0 < n; r0 += gl_NumWorkGroups.x * ROWS) {
        // The row of the first 64 invocations.
        uint i = r0 + t;
        bool mine = t < ROWS && i < n;
        uint class_ = mine ? codes[base + i] : NONE;
        uint plus = NONE;
        uint minus = NONE;
        float d_plus = 0.0f;
        float d_minus = 0.0f;
        for (uint j0 = 0u; j0 < p; j0 += 64u) {
            float d[4][4];
            for (uint e = 0u; e < 4u; e++) {
                for (uint f = 0u; f < 4u; f++) {
                    d[e][f] = 0.0f;
                }
            }
            for (uint q0 = 0u; q0 < l; q0 += DEPTH) {
                for (uint e = t; e < DEPTH * 64u; e += 256u) {
                    uint q = e % DEPTH;
                    uint r = e / DEPTH;
                    bool inside = q0 + q < l;
                    tile[q * WIDTH + r] = inside && r0 + r < n ? y[(y_base + r0 + r) * ld + q0 + q] : 0.0f;
                    tile[BS + q * WIDTH + r] = inside && j0 + r < p ? v[(j0 + r) * l + q0 + q] : 0.0f;
                }
                barrier();
                for (uint q = 0u; q < DEPTH; q++) {
                    float weight = RELEVANCE != 0u ? own[min(q0 + q, l - 1u)] : 1.0f;
                    float a[4];
                    float b[4];
                    for (uint e = 0u; e < 4u; e++) {
                        a[e] = tile[q * WIDTH + tx + 16u * e];
                        b[e] = tile[BS + q * WIDTH + ty + 16u * e];
                    }
                    for (uint e = 0u; e < 4u; e++) {
                        for (uint f = 0u; f < 4u; f++) {
                            float s = a[e] - b[f];
                            d[e][f] += RELEVANCE != 0u ? weight * s * s : s * s;
                        }
                    }
                }
                barrier();
            }
            for (uint e = 0u; e < 4u; e++) {
                for (uint f = 0u; f < 4u; f++) {
                    tile[(ty + 16u * f) * WIDTH + tx + 16u * e] = d[e][f];
                }
            }
            barrier();
            if (mine) {
                for (uint j = 0u; j < 64u && j0 + j < p; j++) {
                    float k = tile[j * WIDTH + t];
                    if (labels[j0 + j] == class_) {
                        if (plus == NONE || k < d_plus) {
                            plus = j0 + j;
                            d_plus = k;
                        }
                    } else if (minus == NONE || k < d_minus) {
                        minus = j0 + j;
                        d_minus = k;
                    }
                }
            }
            barrier();
        }
        if (t < ROWS) {
            float ga = 0.0f;
            float gb = 0.0f;
            float f = 0.0f;
            if (mine) {
                float loss;
                pair(plus != NONE, d_plus, minus != NONE, d_minus, EPS, loss, ga, gb);
                f = factors[base + i];
                outcome[i] = f == 0.0f ? 0.0f : loss * f;
            }
            f *= dynamic[0];
            plus_[t] = plus;
            minus_[t] = minus;
            g_plus[t] = plus == NONE || f == 0.0f ? 0.0f : ga * f;
            g_minus[t] = minus == NONE || f == 0.0f ? 0.0f : gb * f;
        }
        barrier();
        if (gradient) {
            uint quarter = t / 64u;
            uint count = min(ROWS, n - r0);
            for (uint a = t % 64u; a < l; a += 64u) {
                for (uint r = 0u; r < count; r++) {
                    float x = y[(y_base + r0 + r) * ld + a];
                    uint j = plus_[r];
                    uint k = minus_[r];
                    bool has_plus = j != NONE;
                    bool has_minus = k != NONE;
                    float to_plus = has_plus ? g_plus[r] * (x - v[j * l + a]) : 0.0f;
                    float to_minus = has_minus ? g_minus[r] * (x - v[k * l + a]) : 0.0f;
                    if (has_plus && j % 4u == quarter) {
                        pulls[j * l + a] += to_plus;
                    }
                    if (has_minus && k % 4u == quarter) {
                        pulls[k * l + a] += to_minus;
                    }
                    if (r % 4u == quarter) {
                        if (RELEVANCE != 0u) {
                            // e^2 g of both: to_plus holds g e.
                            float both = has_plus ? to_plus * (x - v[j * l + a]) : 0.0f;
                            both += has_minus ? to_minus * (x - v[k * l + a]) : 0.0f;
                            squares[quarter * l + a] += both;
                        }
                        if ((OPTIONS & PUSH) != 0u) {
                            h[(r0 + r) * l + a] = to_plus + to_minus;
                        }
                    }
                }
            }
        }
        barrier();
    }
    if (gradient) {
        uint cells = p * l;
        uint at = gl_WorkGroupID.x * (RELEVANCE != 0u ? 2u : 1u) * cells;
        for (uint e = t; e < cells; e += 256u) {
            sums[at + e] = pulls[e] * (RELEVANCE != 0u ? own[e % l] : 1.0f);
            if (RELEVANCE != 0u) {
                float all = 0.0f;
                for (uint q = 0u; q < 4u && e < l; q++) {
                    all += squares[q * l + e];
                }
                sums[at + cells + e] = all;
            }
        }
    }
}
