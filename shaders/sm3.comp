// SM3 (src/parts/optimizer/sm3.rs). The vectors mu are the first words of `small`, one after the other. `update` leaves them as they are,
// `maxima` puts the new ones into the room, `keep` into the old ones' place.
// entries: update maxima keep

struct Numbers {
    float keep, take, h, eps;
};

#define STATE0 b
#define SIZES uint unused; uint axes; uint lengths[24];

#include "optimizer.glsl"

// A = g^2 + min_i mu_i.
FN float bound(uint e) {
    float least = LARGEST;
    // From the last axis to the first: what is left of the place, and the end of the axis' vector.
    uint rest = e;
    uint end = room;
    for (uint i = axes; i > 0u; i--) {
        uint length_ = lengths[i - 1u];
        end -= length_;
        least = min(least, small[end + rest % length_]);
        rest /= length_;
    }
    return gradient[e] * gradient[e] + least;
}

#if defined(ENTRY_update)

FN float change(uint e, float theta, float g, Numbers n) {
    float a = bound(e);
    float z = a > 0.0f ? g / sqrt(a + n.eps) : 0.0f;
    b[e] = n.keep * b[e] + n.take * z;
    return -n.h * b[e];
}

#include "elementwise.glsl"

#elif defined(ENTRY_maxima)

#include "workgroup.glsl"

FN void main() {
    for (uint c = gl_WorkGroupID.x; c < room; c += gl_NumWorkGroups.x) {
        // The axis of this entry, its index there, the product of the lengths behind it.
        uint axis = 0u;
        uint index = c;
        while (index >= lengths[axis]) {
            index -= lengths[axis];
            axis++;
        }
        uint stride = 1u;
        for (uint i = axis + 1u; i < axes; i++) {
            stride *= lengths[i];
        }
        uint length_ = lengths[axis];
        float most = 0.0f;
        for (uint k = lane(); k < count / length_; k += WIDTH) {
            most = max(most, bound((k / stride * length_ + index) * stride + k % stride));
        }
        most = largest(most);
        if (lane() == 0u) {
            small[room + c] = most;
        }
    }
}

#else

LOCAL_SIZE(64);

FN void main() {
    for (uint c = gl_GlobalInvocationID.x; c < room; c += gl_NumWorkGroups.x * 64u) {
        small[c] = small[room + c];
    }
}

#endif
