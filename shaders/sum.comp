// Sums in a fixed order. `columns`: of n numbers a column, sum_i a_i; `products`: sum_i a_i b_i; `cross`: sum_i a_i b_i of every column
// of a with every column of b. One workgroup a sum; from the second chunk of a pass on they are added to what is there (`add`).
// `slabs`: out[e] = sum over the slabs of a[slab * count + e].
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
    // Numbers in a column (slabs, for `slabs`), words from one column to the next, sums, columns of b.
    uint n;
    uint stride;
    uint count;
    uint width;
    uint add;
    // First column of a, of b, and first sum.
    uint first_a;
    uint first_b;
    uint first;
PUSH_END

#ifdef ENTRY_slabs

FN void main() {
    for (uint e = gl_GlobalInvocationID.x; e < count; e += gl_NumWorkGroups.x * WIDTH) {
        float sum = add != 0u ? result[first + e] : 0.0f;
        for (uint s = 0u; s < n; s++) {
            sum += a[s * count + e];
        }
        result[first + e] = sum;
    }
}

#else

FN void main() {
    for (uint c = gl_WorkGroupID.x; c < count; c += gl_NumWorkGroups.x) {
        float sum = 0.0f;
        for (uint i = lane(); i < n; i += WIDTH) {
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
            result[first + c] = add != 0u ? result[first + c] + sum : sum;
        }
    }
}

#endif
