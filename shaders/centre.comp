// Prototypes as the metric sees them: w - c, rounded as operands are. The centre comes in two parts, so that a centre far from 0
// costs no digits.

#include "lvq.glsl"

LOCAL_SIZE(64);

CONSTANT(1, OPERAND, 0);

BUFFER(0, readonly, float, from);
BUFFER(1, readonly, float, centre);
BUFFER(2, writeonly, float, to);

PUSH_BEGIN
    uint p;
    uint d;
PUSH_END

FN void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * d; e += gl_NumWorkGroups.x * 64u) {
        uint a = e % d;
        PRECISE float v = from[e] - centre[a];
        v = v - centre[d + a];
        to[e] = rounded(v, OPERAND);
    }
}
