// The distance orthogonal to a subspace a prototype (src/parts/metric/tangent.rs).
//
// `forward`: `own` holds the bases (p x d x s), `projections` the rows' products with all bases (n x p s) and `projected` those of the
// prototypes with their own (p x s); s is `power`.
//
// `finish`, with h_j = sum g e (pulls), B_j = X^T(g u) - w_j (sum g u)^T, M_j = 2 I - Om_j^T Om_j:
// dw_j = -2 (h_j - Om_j M_j Om_j^T h_j), dOm_j = -2 (B_j M_j - Om_j Om_j^T B_j). One workgroup a prototype.
// entries: forward finish

#ifdef ENTRY_forward

#include "pairs.glsl"

BUFFER(6, readonly, float, projections);
BUFFER(7, readonly, float, projected);
// Where a prototype's words begin in a projected row: s times the number of its basis.
BUFFER(8, readonly, uint, places);

FN float basis(uint j, uint a, uint k) {
    return own[places[j] * l + a * uint(power) + k];
}

FN float coefficient(uint i, uint j, uint k) {
    uint s = uint(power);
    return projections[i * p * s + places[j] + k] - projected[j * s + k];
}

#include "tangent.glsl"
#include "forward.glsl"

#else

#include "lvq.glsl"
#include "workgroup.glsl"

BUFFER(0, readonly, float, pulls);
BUFFER(1, readonly, float, bases);
// X^T (g u): d x (p s); sum g u: p x s.
BUFFER(2, readonly, float, outer);
BUFFER(3, readonly, float, shares);
BUFFER(4, readonly, float, w);
BUFFER(5, readonly, float, dynamic);
BUFFER(6, writeonly, float, prototypes);
BUFFER(7, writeonly, float, gradient);
// For each prototype M_j, Om_j^T B_j (s x s each), Om_j^T h_j and M_j Om_j^T h_j.
BUFFER(8, coherent, float, room);

PUSH_BEGIN
    uint p;
    uint d;
    uint s;
    // Which gradients are wanted: 1 of the prototypes, 2 of the bases.
    uint learn;
PUSH_END

FN float basis(uint j, uint a, uint k) {
    return bases[(j * d + a) * s + k];
}

FN float b(uint j, uint a, uint k) {
    return outer[a * p * s + j * s + k] - w[j * d + a] * shares[j * s + k];
}

FN void main() {
    uint size = 2u * s * s + 2u * s;
    for (uint j = gl_WorkGroupID.x; j < p; j += gl_NumWorkGroups.x) {
        uint at = j * size;
        for (uint e = lane(); e < s * s; e += WIDTH) {
            uint k = e / s;
            uint q = e % s;
            float gram = 0.0f;
            float ob = 0.0f;
            for (uint a = 0u; a < d; a++) {
                gram += basis(j, a, k) * basis(j, a, q);
                ob += basis(j, a, k) * ((learn & 2u) != 0u ? b(j, a, q) : 0.0f);
            }
            room[at + e] = (k == q ? 2.0f : 0.0f) - gram;
            room[at + s * s + e] = ob;
        }
        for (uint k = lane(); k < s; k += WIDTH) {
            float oh = 0.0f;
            for (uint a = 0u; a < d; a++) {
                oh += basis(j, a, k) * pulls[j * d + a];
            }
            room[at + 2u * s * s + k] = oh;
        }
        memoryBarrierBuffer();
        barrier();
        for (uint k = lane(); k < s; k += WIDTH) {
            float m = 0.0f;
            for (uint q = 0u; q < s; q++) {
                m += room[at + k * s + q] * room[at + 2u * s * s + q];
            }
            room[at + 2u * s * s + s + k] = m;
        }
        memoryBarrierBuffer();
        barrier();
        if ((learn & 1u) != 0u) {
            for (uint a = lane(); a < d; a += WIDTH) {
                float h = pulls[j * d + a];
                for (uint k = 0u; k < s; k++) {
                    h -= basis(j, a, k) * room[at + 2u * s * s + s + k];
                }
                prototypes[j * d + a] = -2.0f * h / dynamic[0];
            }
        }
        if ((learn & 2u) != 0u) {
            for (uint e = lane(); e < d * s; e += WIDTH) {
                uint a = e / s;
                uint k = e % s;
                float sum = 0.0f;
                for (uint q = 0u; q < s; q++) {
                    sum += b(j, a, q) * room[at + q * s + k] - basis(j, a, q) * room[at + s * s + q * s + k];
                }
                gradient[j * d * s + e] = -2.0f * sum / dynamic[0];
            }
        }
        barrier();
    }
}

#endif
