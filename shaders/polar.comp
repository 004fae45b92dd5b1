// The polar factor of each d x s matrix, s <= d (src/parts/linalg.rs), by the Newton-Schulz iteration Y <- Y (3 I - Y^T Y) / 2, which
// converges while every singular value is below sqrt 3. Near an orthonormal matrix, where a step leaves it, a few rounds do; where it does
// not converge the matrix is left as it was and the flag at `flag` is 1: the host takes its SVD. One workgroup a matrix.

#include "lvq.glsl"
#include "workgroup.glsl"

BUFFER(0, coherent, float, values);
// For each matrix Y (d x s), its successor, and a Gram matrix (s x s).
BUFFER(1, coherent, float, room);
BUFFER(2, READ_WRITE, float, flags);

PUSH_BEGIN
    uint matrices;
    uint d;
    uint s;
    uint flag;
PUSH_END

FN void main() {
    uint size = d * s;
    for (uint m = gl_WorkGroupID.x; m < matrices; m += gl_NumWorkGroups.x) {
        uint y = m * (2u * size + s * s);
        uint next = y + size;
        uint gram = y + 2u * size;
        for (uint e = lane(); e < size; e += WIDTH) {
            room[y + e] = values[m * size + e];
        }
        memoryBarrierBuffer();
        barrier();
        float enough = 4.0f * 1.1920929e-7f * sqrt(float(max(d, 4u)));
        float last = 0.5f;
        bool done = false;
        bool failed = false;
        for (uint round_ = 0u; round_ < 20u && !done && !failed; round_++) {
            float error = 0.0f;
            for (uint e = lane(); e < s * s; e += WIDTH) {
                uint a = e / s;
                uint b = e % s;
                float g = 0.0f;
                for (uint i = 0u; i < d; i++) {
                    g += room[y + i * s + a] * room[y + i * s + b];
                }
                float off = g - (a == b ? 1.0f : 0.0f);
                error += off * off;
                room[gram + e] = 0.5f * ((a == b ? 3.0f : 0.0f) - g);
            }
            memoryBarrierBuffer();
            error = sqrt(total(error));
            if (error <= enough) {
                done = true;
            } else if (!(error < last)) {
                // It falls no more: at rounding, or never.
                done = error < 64.0f * enough;
                failed = !done;
            } else {
                last = error;
                for (uint e = lane(); e < size; e += WIDTH) {
                    float v = 0.0f;
                    for (uint k = 0u; k < s; k++) {
                        v += room[y + e / s * s + k] * room[gram + k * s + e % s];
                    }
                    room[next + e] = v;
                }
                memoryBarrierBuffer();
                barrier();
                for (uint e = lane(); e < size; e += WIDTH) {
                    room[y + e] = room[next + e];
                }
                memoryBarrierBuffer();
                barrier();
            }
        }
        if (done) {
            for (uint e = lane(); e < size; e += WIDTH) {
                values[m * size + e] = room[y + e];
            }
        } else if (lane() == 0u) {
            flags[flag] = 1.0f;
        }
        barrier();
    }
}
