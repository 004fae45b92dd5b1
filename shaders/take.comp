// Rows of the data in the order of a batch: to[k] = from[rows[k]], `d` words each.

#include "lvq.glsl"

LOCAL_SIZE(64);

BUFFER(0, readonly, float, from);
BUFFER(1, readonly, uint, rows);
BUFFER(2, writeonly, float, to);

PUSH_BEGIN
    uint n;
    uint d;
PUSH_END

FN void main() {
    for (uint e = gl_GlobalInvocationID.x; e < n * d; e += gl_NumWorkGroups.x * 64u) {
        to[e] = from[rows[e / d] * d + e % d];
    }
}
