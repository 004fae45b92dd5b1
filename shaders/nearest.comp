// Of each row the nearest prototype, or the least key of each class.
// entries: winner class_minimum

#include "rows.glsl"
#include "options.glsl"
#include "map.glsl"

#ifdef ENTRY_winner
#include "winner.glsl"

FN void row(uint i) {
    // Exact: there are fewer than 2^24 prototypes.
    outcome[i] = float(nearest(i));
}
#else
#include "class_minimum.glsl"
#endif

#ifdef ENTRY_winner
#include "each_row.glsl"
#else
FN void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i < n) {
        nearest_of_each(i);
        for (uint c = 0u; c < classes; c++) {
            outcome[c * stride + i] = room[c * stride + i];
        }
    }
}
#endif
