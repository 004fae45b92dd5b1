// The cosine dissimilarity (src/parts/metric/cosine.rs), 1 - max(0, cos). `forward` keeps the cosine in `raw` and the row's length in
// `more`; `slopes` turns dL/dD into the factor of the row, and leaves that of the prototype in `raw`.
// entries: forward slopes pull

#include "pairs.glsl"

// Lengths below machine epsilon count as machine epsilon.
#define SHORTEST 1.1920929e-7f

FN float length_of_prototype(uint j) {
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        sum += v[j * l + a] * v[j * l + a];
    }
    return max(sqrt(sum), SHORTEST);
}

#ifdef ENTRY_forward

LOCAL_SIZE(64);

BUFFER(5, writeonly, float, keys);
BUFFER(6, writeonly, float, raw);
BUFFER(7, writeonly, float, more);

FN void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i >= n) {
        return;
    }
    for (uint j = gl_WorkGroupID.y; j < p; j += gl_NumWorkGroups.y) {
        float product = 0.0f;
        float squares = 0.0f;
        for (uint a = 0u; a < l; a++) {
            float ya = y_at(i, j, a);
            product += ya * v[j * l + a];
            squares += ya * ya;
        }
        float nx = max(sqrt(squares), SHORTEST);
        float s = product / nx / length_of_prototype(j);
        uint at = j * stride + i;
        raw[at] = s;
        more[at] = nx;
        keys[at] = (max(1.0f - max(s, 0.0f), 0.0f) + affine[j]) * affine[p + j];
    }
}

#elif defined(ENTRY_slopes)

LOCAL_SIZE(64);

BUFFER(5, READ_WRITE, float, slopes);
BUFFER(6, READ_WRITE, float, raw);
BUFFER(7, readonly, float, more);

FN void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i >= n) {
        return;
    }
    for (uint j = gl_WorkGroupID.y; j < p; j += gl_NumWorkGroups.y) {
        uint at = j * stride + i;
        float s = raw[at];
        float g = s < 0.0f ? 0.0f : (s == 0.0f ? 0.5f * slopes[at] : slopes[at]);
        float nw = length_of_prototype(j);
        slopes[at] = -g / more[at] / nw;
        raw[at] = g * affine[p + j] * s / nw / nw;
    }
}

#else

FN float pull(uint i, uint j, uint a, float g) {
    return g * y_at(i, j, a);
}

#include "pull.glsl"

#endif
