// The buffers of the distances of a chunk of rows. Row i of the chunk is row base + i of `y`, `ld` words long; prototype j is row j of
// `v`, l words long, and stands against the words offsets[j] .. offsets[j] + l of a row (0 where all prototypes share one projection).

#include "lvq.glsl"

layout(constant_id = 1) const uint OPERAND = 0;

layout(std430, binding = 0) readonly buffer Y { float y[]; };
layout(std430, binding = 1) readonly buffer V { float v[]; };
// For each prototype what is added to its distances, then for each what they are then multiplied with: a key is
// (distance + shift) * scale.
layout(std430, binding = 2) readonly buffer Affine { float affine[]; };
layout(std430, binding = 3) readonly buffer Offsets { uint offsets[]; };
// What the metric has of its own.
layout(std430, binding = 4) readonly buffer Own { float own[]; };

#if defined(ENTRY_pull) || defined(ENTRY_pull_tile)
layout(std430, binding = 5) readonly buffer Slopes { float slopes[]; };
layout(std430, binding = 6) readonly buffer Raw { float raw[]; };
layout(std430, binding = 7) readonly buffer More { float more[]; };
#endif

layout(push_constant) uniform Sizes {
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
};

FN float y_at(uint i, uint j, uint a) {
    return y[(base + i) * ld + offsets[j] + a];
}

FN float difference(uint i, uint j, uint a) {
    return y_at(i, j, a) - v[j * l + a];
}
