// Keys of a chunk in tiles of rows and prototypes. The metric defines TERM(sum, y, v, a) and FINISH(sum).

BUFFER(5, writeonly, float, keys);
#ifdef RAW
BUFFER(6, writeonly, float, raw);
#endif

#define R n
#define C p
#define Q_FIRST 0u
#define Q_END l
#define A_BY_Q
#define B_BY_Q
#define A_AT(q, r) y[(base + (r)) * ld + (q)]
#define B_AT(q, c) v[(c) * l + (q)]
#define STEP(sum, a, b, q, e, f) TERM(sum, a, b, q)

FN void result(uint i, uint j, float d) {
#ifdef RAW
    raw[j * stride + i] = d;
#endif
    keys[j * stride + i] = (d + affine[j]) * affine[p + j];
}

#define RESULT(r, c, sum, e, f) result(r, c, FINISH(sum))

#include "tile.glsl"
