// The update rule of Median LVQ: `rows` weighs the rows. For the squared Euclidean distance the row of least score is the one nearest
// to the weighted mean: `mean` forms it (W_j in `totals`), and `choose` finds among the rows of the prototype's class that count the
// first that is nearest, of this chunk and of those before.
// entries: rows mean choose

#if defined(ENTRY_rows)

#include "rows.glsl"
#include "options.glsl"
#include "nearest_pair.glsl"
#include "medoid.glsl"
#include "each_row.glsl"

#elif defined(ENTRY_mean)

#include "lvq.glsl"

LOCAL_SIZE(64);

BUFFER(0, readonly, float, pulls);
BUFFER(1, readonly, float, totals);
BUFFER(2, READ_WRITE, float, w);

PUSH_BEGIN
    uint p;
    uint d;
PUSH_END

FN void main() {
    for (uint e = gl_GlobalInvocationID.x; e < p * d; e += gl_NumWorkGroups.x * 64u) {
        float sum = totals[e / d];
        w[e] += sum > 0.0f ? pulls[e] / sum : 0.0f;
    }
}

#else

#include "lvq.glsl"
#include "workgroup.glsl"

BUFFER(0, readonly, float, keys);
BUFFER(1, readonly, uint, codes);
BUFFER(2, readonly, float, factors);
BUFFER(3, readonly, uint, labels);
BUFFER(4, readonly, float, totals);
// The least distance of each prototype so far; its row.
BUFFER(5, READ_WRITE, float, least);
BUFFER(6, READ_WRITE, uint, chosen);

PUSH_BEGIN
    uint n;
    uint p;
    uint stride;
    uint base;
    uint first;
PUSH_END

SHARED(uint, rows, 256);

FN void main() {
    for (uint j = gl_WorkGroupID.x; j < p; j += gl_NumWorkGroups.x) {
        float best = LARGEST;
        uint at = NONE;
        // Weights that sum to 0 make all scores equal: the first row.
        bool equal = totals[j] <= 0.0f;
        for (uint i = lane(); i < n; i += WIDTH) {
            float d = equal ? 0.0f : keys[j * stride + i];
            if (codes[base + i] == labels[j] && factors[base + i] > 0.0f && (at == NONE || d < best)) {
                best = d;
                at = base + i;
            }
        }
        shared_[lane()] = best;
        rows[lane()] = at;
        barrier();
        if (lane() == 0u) {
            best = first != 0u ? LARGEST : least[j];
            at = first != 0u ? NONE : chosen[j];
            for (uint t = 0u; t < WIDTH; t++) {
                bool better = at == NONE || shared_[t] < best || (shared_[t] == best && rows[t] < at);
                if (rows[t] != NONE && better) {
                    best = shared_[t];
                    at = rows[t];
                }
            }
            least[j] = best;
            chosen[j] = at;
        }
        barrier();
    }
}

#endif
