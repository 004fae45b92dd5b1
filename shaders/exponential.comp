// The exponential kernel's distance (src/parts/kernel/exponential.rs), on projections. `push` adds the y's own share to a row's H.
// entries: forward slopes push

#if defined(ENTRY_push)

#include "lvq.glsl"

LOCAL_SIZE(64);

BUFFER(0, readonly, float, y);
BUFFER(1, readonly, float, raw);
BUFFER(2, READ_WRITE, float, h);

PUSH_BEGIN
    uint n;
    uint p;
    uint stride;
    uint l;
PUSH_END

FN void main() {
    for (uint i = gl_GlobalInvocationID.x; i < n; i += gl_NumWorkGroups.x * 64u) {
        float sum = 0.0f;
        for (uint j = 0u; j < p; j++) {
            sum += raw[j * stride + i];
        }
        for (uint k = 0u; k < l; k++) {
            h[i * l + k] += sum * y[i * l + k];
        }
    }
}

#else

#include "pairs.glsl"

#ifdef ENTRY_forward
#define DISTANCES
#include "exponential.glsl"
#include "forward.glsl"
#else
#define TURNS
#include "exponential.glsl"
#include "turn.glsl"
#endif

#endif
