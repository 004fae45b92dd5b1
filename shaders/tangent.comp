#version 450

// The distance orthogonal to a subspace a prototype (src/parts/metric/tangent.rs): |e - Om_j u|^2 with e = x - w_j, u = Om_j^T e.
//
// `forward`: `own` holds the bases (p x d x s), `projections` the rows' products with all bases (n x p s) and `projected` those of the
// prototypes with their own (p x s); s is `power`. The residual is formed coordinate by coordinate: nothing cancels.
//
// `finish`, with h_j = sum g e (pulls), B_j = X^T(g u) - w_j (sum g u)^T, M_j = 2 I - Om_j^T Om_j:
// dw_j = -2 (h_j - Om_j M_j Om_j^T h_j), dOm_j = -2 (B_j M_j - Om_j Om_j^T B_j). One workgroup a prototype.
// entries: forward finish

#ifdef ENTRY_forward

#include "pairs.glsl"

layout(std430, binding = 6) readonly buffer Projections { float projections[]; };
layout(std430, binding = 7) readonly buffer Projected { float projected[]; };
// Where a prototype's words begin in a projected row: s times the number of its basis.
layout(std430, binding = 8) readonly buffer Places { uint places[]; };

FN float distance(uint i, uint j) {
    uint s = uint(power);
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        float r = difference(i, j, a);
        for (uint k = 0u; k < s; k++) {
            float u = projections[i * p * s + places[j] + k] - projected[j * s + k];
            r -= own[places[j] * l + a * s + k] * u;
        }
        sum += r * r;
    }
    return sum;
}

#include "forward.glsl"

#else

#include "lvq.glsl"
#include "workgroup.glsl"

layout(std430, binding = 0) readonly buffer Pulls { float pulls[]; };
layout(std430, binding = 1) readonly buffer Bases { float bases[]; };
// X^T (g u): d x (p s); sum g u: p x s.
layout(std430, binding = 2) readonly buffer Outer { float outer[]; };
layout(std430, binding = 3) readonly buffer Shares { float shares[]; };
layout(std430, binding = 4) readonly buffer W { float w[]; };
layout(std430, binding = 5) readonly buffer Dynamic { float dynamic[]; };
layout(std430, binding = 6) writeonly buffer Prototypes { float prototypes[]; };
layout(std430, binding = 7) writeonly buffer Gradient { float gradient[]; };
// For each prototype M_j, Om_j^T B_j (s x s each), Om_j^T h_j and M_j Om_j^T h_j.
layout(std430, binding = 8) coherent buffer Room { float room[]; };

layout(push_constant) uniform Sizes {
    uint p;
    uint d;
    uint s;
    // Which gradients are wanted: 1 of the prototypes, 2 of the bases.
    uint learn;
};

float basis(uint j, uint a, uint k) {
    return bases[(j * d + a) * s + k];
}

float b(uint j, uint a, uint k) {
    return outer[a * p * s + j * s + k] - w[j * d + a] * shares[j * s + k];
}

void main() {
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
