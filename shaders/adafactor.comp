// Adafactor (src/parts/optimizer/adafactor.rs). `whole`: with the second moment of every element. Factored: R and S are the first words of
// `small`; `factors` moves both, `mean` takes the mean of R over the second longest axis, `factored` updates.
// entries: whole factors mean factored

struct Numbers {
    float keep, take, eps, threshold, h, sized, least, mu, rest, decay;
};

#ifdef ENTRY_whole

#define STATE0 v
#define STATE1 m
#define SIZES uint slabs;

#include "optimizer.glsl"

#else

#define STATE0 m
// Longest and second longest axis: lengths and strides; the second one's stride in R; entries of R and of S.
#define SIZES uint slabs; uint longest; uint longest_stride; uint second; uint second_stride; uint within; uint rs; uint ss;

#include "optimizer.glsl"

// First word of the means.
FN uint means() {
    return room + 1u + 4u * slabs;
}

// The place of an element once an axis is left out, and the first element of a place.
FN uint without(uint e, uint length_, uint stride) {
    return e / (length_ * stride) * stride + e % stride;
}

FN uint first(uint place, uint length_, uint stride) {
    return place / stride * length_ * stride + place % stride;
}

#endif

#if defined(ENTRY_factors)

#include "workgroup.glsl"

FN void main() {
    Numbers n = numbers[block];
    for (uint c = gl_WorkGroupID.x; c < rs + ss; c += gl_NumWorkGroups.x) {
        bool of_r = c < rs;
        uint length_ = of_r ? longest : second;
        uint stride = of_r ? longest_stride : second_stride;
        uint from = first(of_r ? c : c - rs, length_, stride);
        float sum = 0.0f;
        for (uint k = lane(); k < length_; k += WIDTH) {
            float g = gradient[from + k * stride];
            sum += g * g + n.eps;
        }
        sum = total(sum);
        if (lane() == 0u) {
            small[c] = n.keep * small[c] + n.take / float(length_) * sum;
        }
    }
}

#elif defined(ENTRY_mean)

#include "workgroup.glsl"

FN void main() {
    uint places = rs / second;
    for (uint c = gl_WorkGroupID.x; c < places; c += gl_NumWorkGroups.x) {
        uint from = first(c, second, within);
        float sum = 0.0f;
        for (uint k = lane(); k < second; k += WIDTH) {
            sum += small[from + k * within];
        }
        sum = total(sum);
        if (lane() == 0u) {
            small[means() + c] = sum / float(second);
        }
    }
}

#else

CONSTANT(1, MOMENTUM, 0);

FN float direction(uint e, float g) {
#ifdef ENTRY_whole
    return g / sqrt(v[e]);
#else
    uint place = without(e, longest, longest_stride);
    float r = small[place];
    float s = small[rs + without(e, second, second_stride)];
    return g * sqrt(small[means() + without(place, second, within)] / r) * (1.0f / sqrt(s));
#endif
}

FN void measure(uint e, float theta, float g, Numbers n, OUT(float) x, OUT(float) y) {
#ifdef ENTRY_whole
    v[e] = n.keep * v[e] + n.take * (g * g + n.eps);
#endif
    x = theta;
    y = direction(e, g);
}

FN float factor(float length_, float a, Numbers n) {
    float root = sqrt(float(count));
    float clip = max(a / root / n.threshold, 1.0f);
    float size = n.sized > 0.0f ? max(length_ / root, n.least) : 1.0f;
    return n.h * size / clip;
}

FN float change(uint e, float theta, float g, float scale, Numbers n) {
    float z = scale * direction(e, g);
    if (MOMENTUM != 0u) {
        m[e] = n.mu * m[e] + n.rest * z;
        z = m[e];
    }
    return -(z + n.decay * theta);
}

#include "measured.glsl"

#endif
