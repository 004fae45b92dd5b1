// Bits of OPTIONS, and places in `dynamic`.

#define GRADIENT 1u
#define TIES_EVEN 2u
#define LEARN_RANGE 4u
#define THETA_ROOTS 8u
#define EXACT_LOG 16u

// Factor of the operand of the backward products.
#define SCALE 0u
// Sum of the factors of the target rows, and 1 / number of rows.
#define TARGETS 1u
#define INVERSE_ROWS 2u
// Step size of an update.
#define RATE 3u
// Of the contrastive cost: slope by the responsibility of target rows and of others, and the cost.
#define BY_TARGET 4u
#define BY_OTHER 5u
#define CONTRAST 6u

FN bool option(uint bit) {
    return (OPTIONS & bit) != 0u;
}

FN float key(uint i, uint j) {
    return keys[j * stride + i];
}

// The row's factor where a gradient is wanted; 0 else.
FN float factor(uint i) {
    return factors[base + i];
}

// dL/dkey of a pair; a row that does not count has slope 0 whatever the value.
FN void set_slope(uint i, uint j, float g, float f) {
    float value = f == 0.0f ? 0.0f : g * f * dynamic[SCALE];
    slopes[j * stride + i] = rounded(value, OPERAND);
}

FN void set_loss(uint i, float loss) {
    float f = factors[base + i];
    outcome[i] = f == 0.0f ? 0.0f : loss * f;
}

FN void set_range(uint i, float slope, float f) {
    outcome[stride + i] = f == 0.0f ? 0.0f : slope * f;
}
