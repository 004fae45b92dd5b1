// Values raised to a floor and lowered to a ceiling (src/parts/constraint/mod.rs).

#include "lvq.glsl"

LOCAL_SIZE(64);

BUFFER(0, READ_WRITE, float, values);

PUSH_BEGIN
    uint n;
    float least;
    float most;
PUSH_END

FN void main() {
    for (uint e = gl_GlobalInvocationID.x; e < n; e += gl_NumWorkGroups.x * 64u) {
        // NaN stays NaN: it is found and named, not hidden.
        float v = values[e];
        values[e] = v < least ? least : (v > most ? most : v);
    }
}
