// Each matrix scaled to a sum of squares, the trace of Omega^T Omega (src/parts/constraint/mod.rs); zeros stay. One workgroup a matrix.

#include "lvq.glsl"
#include "workgroup.glsl"

BUFFER(0, READ_WRITE, float, values);

PUSH_BEGIN
    uint matrices;
    uint size;
    float wanted;
PUSH_END

FN void main() {
    for (uint m = gl_WorkGroupID.x; m < matrices; m += gl_NumWorkGroups.x) {
        float most = 0.0f;
        for (uint e = lane(); e < size; e += WIDTH) {
            most = max(most, abs(values[m * size + e]));
        }
        most = largest(most);
        float sum = 0.0f;
        for (uint e = lane(); e < size; e += WIDTH) {
            // In units of the largest: squares stay in range.
            float v = most > 0.0f ? values[m * size + e] / most : 0.0f;
            sum += v * v;
        }
        sum = total(sum);
        if (most > 0.0f) {
            float factor = sqrt(wanted / sum) / most;
            for (uint e = lane(); e < size; e += WIDTH) {
                values[m * size + e] *= factor;
            }
        }
    }
}
