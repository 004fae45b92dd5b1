// What a chunk's rows pull a prototype with: sum_i g_ij pull(i, j, a), one invocation a sum, over a slab of rows; `sum.comp` adds the
// slabs in their order. With SQUARES also sum_i g_ij e^2.

LOCAL_SIZE(64);

BUFFER(8, writeonly, float, sums);

FN void main() {
    uint cells = p * l;
    for (uint e = gl_GlobalInvocationID.x; e < cells; e += gl_NumWorkGroups.x * 64u) {
        uint j = e / l;
        uint a = e % l;
        uint first = gl_WorkGroupID.y * slab;
        uint end = min(first + slab, n);
        float scale = affine[p + j];
        float sum = 0.0f;
#ifdef SQUARES
        float squares = 0.0f;
#endif
        for (uint i = first; i < end; i++) {
            float g = slopes[j * stride + i];
            if (g != 0.0f) {
                g *= scale;
                sum += pull(i, j, a, g);
#ifdef SQUARES
                float t = difference(i, j, a);
                squares += g * t * t;
#endif
            }
        }
#ifdef SQUARES
        sums[gl_WorkGroupID.y * 2u * cells + e] = sum;
        sums[(gl_WorkGroupID.y * 2u + 1u) * cells + e] = squares;
#else
        sums[gl_WorkGroupID.y * cells + e] = sum;
#endif
    }
}
