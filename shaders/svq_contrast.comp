// The contrastive cost (src/parts/objective/svq_occ.rs) from the soft confusion matrix of all rows: its value, and its slope by the
// responsibility of a target row and of any other. One invocation.

#include "lvq.glsl"

LOCAL_SIZE(1);

BUFFER(0, readonly, float, sums);
BUFFER(1, READ_WRITE, float, dynamic);

PUSH_BEGIN
    float alpha;
PUSH_END

FN void main() {
    float tp = sums[2];
    float fn = sums[3];
    float fp = sums[4];
    float tn = sums[5];
    float e = EPS * dynamic[2];
    float a = tp + fp + e;
    float b = tn + fn + e;
    float m = tp * tn - fp * fn;
    float kap = m / a / b * ((a - b) / a / b);
    float rest = 1.0f - alpha;
    dynamic[4] = rest * -((tn + fp) / a / b + kap);
    dynamic[5] = rest * ((tp + fn) / a / b - kap);
    dynamic[6] = rest * (1.0f - m / a / b);
}
