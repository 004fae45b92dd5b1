// Tiles of a product-like sum, result(r, c) = sum_q step(a(q, r), b(q, c)): the tuned form of forward, pull, push, project and outer.
//
// A workgroup of 64 computes 64 x 64 results; each of its 8 x 8 invocations holds 8 x 8 sums in registers, and DEPTH terms at a time are
// staged through shared memory (8,320 bytes, under the 16,384 that every device has).
//
// The text that includes this defines
//   R, C                numbers of results along r and c
//   Q_FIRST, Q_END      terms (a slab's rows, for backward products)
//   A_AT(q, r), B_AT(q, c)
//   A_BY_Q, B_BY_Q      if neighbouring q are neighbours in memory: they are loaded by neighbouring invocations
//   STEP(sum, a, b, q, e, f)  adds term q to the sum of row e and column f of the invocation's own
//   START(e, f, r, c)   what is read before the terms, if anything
//   RESULT(r, c, sum, e, f)

LOCAL_SIZE(64);

#define SIDE 8u
#define EACH 8u
#define TILE 64u
#define DEPTH 16u

// Term q of row r lies at q * (TILE + 1) + r; the odd stride keeps transposed writes in different banks.
SHARED(float, as, DEPTH * (TILE + 1));
SHARED(float, bs, DEPTH * (TILE + 1));

FN void load_a(uint r0, uint q0, uint q_end, uint rows) {
    uint at = gl_LocalInvocationIndex;
    for (uint e = at; e < DEPTH * TILE; e += SIDE * SIDE) {
#ifdef A_BY_Q
        uint q = e % DEPTH;
        uint r = e / DEPTH;
#else
        uint q = e / TILE;
        uint r = e % TILE;
#endif
        as[q * (TILE + 1) + r] = r0 + r < rows && q0 + q < q_end ? A_AT(q0 + q, r0 + r) : 0.0f;
    }
}

FN void load_b(uint c0, uint q0, uint q_end, uint columns) {
    uint at = gl_LocalInvocationIndex;
    for (uint e = at; e < DEPTH * TILE; e += SIDE * SIDE) {
#ifdef B_BY_Q
        uint q = e % DEPTH;
        uint c = e / DEPTH;
#else
        uint q = e / TILE;
        uint c = e % TILE;
#endif
        bs[q * (TILE + 1) + c] = c0 + c < columns && q0 + q < q_end ? B_AT(q0 + q, c0 + c) : 0.0f;
    }
}

FN void main() {
    uint x = gl_LocalInvocationIndex % SIDE;
    uint y_ = gl_LocalInvocationIndex / SIDE;
    uint rows = R;
    uint columns = C;
    uint q_first = Q_FIRST;
    uint q_end = Q_END;
    for (uint r0 = gl_WorkGroupID.x * TILE; r0 < rows; r0 += gl_NumWorkGroups.x * TILE) {
        for (uint c0 = gl_WorkGroupID.y * TILE; c0 < columns; c0 += gl_NumWorkGroups.y * TILE) {
            float sums[EACH][EACH];
            UNROLL for (uint e = 0u; e < EACH; e++) {
                UNROLL for (uint f = 0u; f < EACH; f++) {
                    sums[e][f] = 0.0f;
#ifdef START
                    uint r = min(r0 + x + SIDE * e, rows - 1u);
                    uint c = min(c0 + y_ + SIDE * f, columns - 1u);
                    START(e, f, r, c);
#endif
                }
            }
            for (uint q0 = q_first; q0 < q_end; q0 += DEPTH) {
                load_a(r0, q0, q_end, rows);
                load_b(c0, q0, q_end, columns);
                barrier();
                for (uint q = 0u; q < DEPTH; q++) {
                    float a[EACH];
                    float b[EACH];
                    UNROLL for (uint e = 0u; e < EACH; e++) {
                        a[e] = as[q * (TILE + 1) + x + SIDE * e];
                        b[e] = bs[q * (TILE + 1) + y_ + SIDE * e];
                    }
                    UNROLL for (uint e = 0u; e < EACH; e++) {
                        UNROLL for (uint f = 0u; f < EACH; f++) {
                            STEP(sums[e][f], a[e], b[f], q0 + q, e, f);
                        }
                    }
                }
                barrier();
            }
            UNROLL for (uint e = 0u; e < EACH; e++) {
                UNROLL for (uint f = 0u; f < EACH; f++) {
                    uint r = r0 + x + SIDE * e;
                    uint c = c0 + y_ + SIDE * f;
                    if (r < rows && c < columns) {
                        RESULT(r, c, sums[e][f], e, f);
                    }
                }
            }
        }
    }
}
