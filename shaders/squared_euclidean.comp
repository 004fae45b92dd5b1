// Squared Euclidean distances, f32:
//
//     d[i, j] = sum_a (x[i, a] - w[j, a])^2        x: n x dim, w: p x dim, d: n x p, all row-major
//
// In difference form, for the reason given in kernels/squared_euclidean.cu: exact under any offset of
// the data, never negative, 0 for equal rows.
//
// A workgroup computes TILE x TILE squares of d; each of its SIDE x SIDE invocations holds EACH x EACH
// sums in registers, and DEPTH columns at a time are staged through shared memory (2 * DEPTH *
// (TILE + 1) * 4 bytes: 8,320 for SIDE = 16, under the 16,384 every device has). SIDE is a
// specialisation constant because a device need not allow more than 128 invocations: 16 where 256 are
// allowed, else 8.
//
// Dispatch: (squares along n, squares along p) or fewer workgroups: each goes on to the next square
// until all are done, since a device need not allow more than 65,535 workgroups a dimension. Any
// n, p, dim >= 1 with n * dim, p * dim and n * p below 2^32.

#version 450

layout(local_size_x_id = 0, local_size_y_id = 1) in;
layout(constant_id = 2) const uint SIDE = 16;

const uint EACH = 4;
const uint TILE = SIDE * EACH;
const uint DEPTH = 16;

layout(std430, set = 0, binding = 0) readonly buffer X { float x[]; };
layout(std430, set = 0, binding = 1) readonly buffer W { float w[]; };
layout(std430, set = 0, binding = 2) writeonly buffer D { float d[]; };

layout(push_constant) uniform Sizes {
    uint n;
    uint p;
    uint dim;
};

// Column a of row r lies at a * (TILE + 1) + r; the odd stride keeps transposed writes in different
// banks.
shared float xs[DEPTH * (TILE + 1)];
shared float ws[DEPTH * (TILE + 1)];

// Stages DEPTH columns of TILE rows of x and of w. What lies outside becomes 0: a missing column then
// adds (0 - 0)^2, and the sums of missing rows are never written.
void stage(uint row, uint prototype, uint column) {
    for (uint at = gl_LocalInvocationIndex; at < TILE * DEPTH; at += SIDE * SIDE) {
        const uint r = at / DEPTH;
        const uint a = at % DEPTH;
        const bool inside = column + a < dim;
        const uint slot = a * (TILE + 1) + r;
        xs[slot] = inside && row + r < n ? x[(row + r) * dim + column + a] : 0.0;
        ws[slot] = inside && prototype + r < p ? w[(prototype + r) * dim + column + a] : 0.0;
    }
}

void square(uint row, uint prototype) {
    float sum[EACH][EACH];
    for (uint r = 0; r < EACH; ++r)
        for (uint c = 0; c < EACH; ++c) sum[r][c] = 0.0;

    for (uint column = 0; column < dim; column += DEPTH) {
        stage(row, prototype, column);
        barrier();
        for (uint a = 0; a < DEPTH; ++a) {
            float xv[EACH];
            float wv[EACH];
            for (uint r = 0; r < EACH; ++r) {
                xv[r] = xs[a * (TILE + 1) + gl_LocalInvocationID.y + r * SIDE];
                wv[r] = ws[a * (TILE + 1) + gl_LocalInvocationID.x + r * SIDE];
            }
            for (uint r = 0; r < EACH; ++r) {
                for (uint c = 0; c < EACH; ++c) {
                    const float difference = xv[r] - wv[c];
                    sum[r][c] += difference * difference;
                }
            }
        }
        // The next columns may not be staged before every invocation is done with these.
        barrier();
    }

    for (uint r = 0; r < EACH; ++r) {
        for (uint c = 0; c < EACH; ++c) {
            const uint i = row + gl_LocalInvocationID.y + r * SIDE;
            const uint j = prototype + gl_LocalInvocationID.x + c * SIDE;
            if (i < n && j < p) d[i * p + j] = sum[r][c];
        }
    }
}

void main() {
    const uint down = (n + TILE - 1) / TILE;
    const uint across = (p + TILE - 1) / TILE;
    for (uint row = gl_WorkGroupID.x; row < down; row += gl_NumWorkGroups.x)
        for (uint prototype = gl_WorkGroupID.y; prototype < across; prototype += gl_NumWorkGroups.y)
            square(row * TILE, prototype * TILE);
}
