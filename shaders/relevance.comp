// The relevance-weighted squared Euclidean distance of GRLVQ (src/parts/metric/relevance.rs): `prepare` turns the logits into
// lam = softmax(rho), `finish` the sums of squares into the logits' gradient.
// entries: prepare forward forward_tile pull pull_tile finish

#if !defined(ENTRY_prepare) && !defined(ENTRY_finish)

#include "pairs.glsl"

#ifdef ENTRY_forward

FN float distance(uint i, uint j) {
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        float t = difference(i, j, a);
        sum += own[a] * t * t;
    }
    return sum;
}

#include "forward.glsl"

#elif defined(ENTRY_forward_tile)

#define TERM(sum, y, v, a) { float t = y - v; sum += own[min(a, l - 1u)] * t * t; }
#define FINISH(sum) sum

#include "forward_tile.glsl"

#elif defined(ENTRY_pull_tile)

#define SQUARES

#include "pull_tile.glsl"

#else

#define SQUARES

FN float pull(uint i, uint j, uint a, float g) {
    return g * own[a] * difference(i, j, a);
}

#include "pull.glsl"

#endif

#else

#include "lvq.glsl"
#include "workgroup.glsl"

// rho, lam; for the finish also sum_i g_ij e^2 (p x d, from word p d of `sums` on), the gradient, and the step's numbers.
BUFFER(0, readonly, float, rho);
BUFFER(1, READ_WRITE, float, lam);
BUFFER(2, readonly, float, sums);
BUFFER(3, writeonly, float, gradient);
BUFFER(4, readonly, float, dynamic);

PUSH_BEGIN
    uint p;
    uint d;
PUSH_END

#ifdef ENTRY_prepare

FN void main() {
    float most = -LARGEST;
    for (uint a = lane(); a < d; a += WIDTH) {
        most = max(most, rho[a]);
    }
    most = largest(most);
    float sum = 0.0f;
    for (uint a = lane(); a < d; a += WIDTH) {
        sum += exp(rho[a] - most);
    }
    sum = total(sum);
    for (uint a = lane(); a < d; a += WIDTH) {
        lam[a] = exp(rho[a] - most) / sum;
    }
}

#else

// dlam_a = sum_j of the squares; drho = lam (dlam - <lam, dlam>).
FN void main() {
    float inner = 0.0f;
    for (uint a = lane(); a < d; a += WIDTH) {
        float s = 0.0f;
        for (uint j = 0u; j < p; j++) {
            s += sums[(p + j) * d + a];
        }
        gradient[a] = s;
        inner += lam[a] * s;
    }
    inner = total(inner);
    for (uint a = lane(); a < d; a += WIDTH) {
        float s = 0.0f;
        for (uint j = 0u; j < p; j++) {
            s += sums[(p + j) * d + a];
        }
        gradient[a] = lam[a] * (s - inner) / dynamic[0];
    }
}

#endif

#endif
