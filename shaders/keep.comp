// What a step leaves for the host to read later: its loss into losses[flags + step], and of each flag whether it was ever set. One
// invocation.

#include "lvq.glsl"

LOCAL_SIZE(1);

BUFFER(0, readonly, float, totals);
BUFFER(1, READ_WRITE, float, losses);
BUFFER(2, readonly, float, dynamic);

PUSH_BEGIN
    // Flags, and where they begin in the totals.
    uint flags;
    uint first;
PUSH_END

FN void main() {
    for (uint t = 0u; t < flags; t++) {
        losses[t] = max(losses[t], totals[first + t]);
    }
    losses[flags + uint(dynamic[8])] = totals[0];
}
