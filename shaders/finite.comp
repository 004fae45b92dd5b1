// Whether a tensor has a value that is not finite: flags[at] = 1, else 0. One workgroup.

#include "lvq.glsl"
#include "workgroup.glsl"

BUFFER(0, readonly, uint, values);
BUFFER(1, READ_WRITE, float, flags);

PUSH_BEGIN
    uint n;
    uint at;
PUSH_END

FN void main() {
    float bad = 0.0f;
    for (uint e = lane(); e < n; e += WIDTH) {
        bad = (values[e] & 0x7f800000u) == 0x7f800000u ? 1.0f : bad;
    }
    bad = largest(bad);
    if (lane() == 0u) {
        flags[at] = bad;
    }
}
