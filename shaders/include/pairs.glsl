// The buffers of the distances of a chunk of rows. Row i of the chunk is row base + i of `y`, `ld` words long; prototype j is row j of
// `v`, l words long, and stands against the words offsets[j] .. offsets[j] + l of a row (0 where all prototypes share one projection).

#include "lvq.glsl"

CONSTANT(1, OPERAND, 0);

BUFFER(0, readonly, float, y);
BUFFER(1, readonly, float, v);
// For each prototype what is added to its distances, then for each what they are then multiplied with: a key is
// (distance + shift) * scale.
BUFFER(2, readonly, float, affine);
BUFFER(3, readonly, uint, offsets);
// What the metric has of its own.
BUFFER(4, readonly, float, own);

#if defined(ENTRY_slopes)
BUFFER(5, READ_WRITE, float, slopes);
BUFFER(6, READ_WRITE, float, raw);
BUFFER(7, READ_WRITE, float, more);
#elif defined(ENTRY_pull) || defined(ENTRY_pull_tile)
BUFFER(5, readonly, float, slopes);
BUFFER(6, readonly, float, raw);
BUFFER(7, readonly, float, more);
#endif

PUSH_BEGIN
    uint n;
    uint p;
    uint stride;
    uint base;
    uint l;
    uint ld;
    // Exponent of Lp; columns of a basis, as a number.
    float power;
    // Rows of a slab of a backward product.
    uint slab;
PUSH_END

FN float y_at(uint i, uint j, uint a) {
    return y[(base + i) * ld + offsets[j] + a];
}

FN float v_at(uint j, uint a) {
    return v[j * l + a];
}

FN float difference(uint i, uint j, uint a) {
    return y_at(i, j, a) - v_at(j, a);
}

#ifdef ENTRY_forward
// What a distance leaves for the backward products.
float raw_;
float more_;
#endif
