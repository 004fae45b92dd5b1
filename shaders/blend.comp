// Averages and copies of tensors: to <- to + a (from - to), a from the step's numbers; `copy` copies exactly.
// entries: blend copy

#include "lvq.glsl"

LOCAL_SIZE(64);

BUFFER(0, READ_WRITE, float, to);
BUFFER(1, readonly, float, from);
BUFFER(2, readonly, float, dynamic);

PUSH_BEGIN
    uint n;
PUSH_END

FN void main() {
#ifdef ENTRY_blend
    float a = dynamic[7];
#endif
    for (uint e = gl_GlobalInvocationID.x; e < n; e += gl_NumWorkGroups.x * 64u) {
#ifdef ENTRY_copy
        to[e] = from[e];
#else
        to[e] = a == 1.0f ? from[e] : to[e] + a * (from[e] - to[e]);
#endif
    }
}
