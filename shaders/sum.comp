// Sums in a fixed order. `columns`: of n numbers a column, sum_i a_i; `products`: sum_i a_i b_i; `cross`: sum_i a_i b_i of every column
// of a with every column of b. One workgroup a sum; from the second chunk of a pass on they are added to what is there (`add`).
// `slabs`: out[first + e] = sum over the slabs of a[slab * stride + first_a + e].
// The first three have a second form for devices whose subgroups do arithmetic.
// entries: columns products cross slabs columns_subgroup products_subgroup cross_subgroup

#include "lvq.glsl"
#include "workgroup.glsl"

#if defined(ENTRY_columns_subgroup) || defined(ENTRY_products_subgroup) || defined(ENTRY_cross_subgroup)
#include "subgroup.glsl"
#define TOTAL subgroup_total
#else
#define TOTAL total
#endif

BUFFER(0, readonly, float, a);
BUFFER(1, readonly, float, b);
BUFFER(2, READ_WRITE, float, result);

PUSH_BEGIN
    // Numbers in a column (slabs, for `slabs`), words from one column (slab) to the next, sums, columns of b.
    uint n;
    uint stride;
    uint count;
    uint width;
    uint add;
    // First column of a (first word of a slab), of b, and first sum.
    uint first_a;
    uint first_b;
    uint first;
    // Rows of a part: part y of the launch leaves its sums at y * count.
    uint rows;
PUSH_END

#ifdef ENTRY_slabs

// Sums side by side in a workgroup; its other invocations share the slabs among them.
#define SIDE 16u

FN void main() {
    uint cell = lane() % SIDE;
    for (uint e0 = gl_WorkGroupID.x * SIDE; e0 < count; e0 += gl_NumWorkGroups.x * SIDE) {
        uint e = e0 + cell;
        float sum = 0.0f;
        if (e < count) {
            for (uint s = lane() / SIDE; s < n; s += WIDTH / SIDE) {
                sum += a[s * stride + first_a + e];
            }
        }
        shared_[lane()] = sum;
        barrier();
        if (lane() < SIDE && e < count) {
            sum = add != 0u ? result[first + e] : 0.0f;
            for (uint k = 0u; k < WIDTH / SIDE; k++) {
                sum += shared_[k * SIDE + cell];
            }
            result[first + e] = sum;
        }
        barrier();
    }
}

#else

FN void main() {
    uint begin = gl_WorkGroupID.y * rows;
    uint end = min(begin + rows, n);
    for (uint c = gl_WorkGroupID.x; c < count; c += gl_NumWorkGroups.x) {
        float sum = 0.0f;
        for (uint i = begin + lane(); i < end; i += WIDTH) {
#if defined(ENTRY_columns) || defined(ENTRY_columns_subgroup)
            sum += a[(first_a + c) * stride + i];
#elif defined(ENTRY_products) || defined(ENTRY_products_subgroup)
            sum += a[(first_a + c) * stride + i] * b[(first_b + c) * stride + i];
#else
            sum += a[(first_a + c / width) * stride + i] * b[(first_b + c % width) * stride + i];
#endif
        }
        sum = TOTAL(sum);
        if (lane() == 0u) {
            uint to = first + gl_WorkGroupID.y * count + c;
            result[to] = add != 0u ? result[to] + sum : sum;
        }
    }
}

#endif
