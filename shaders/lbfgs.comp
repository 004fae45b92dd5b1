// The vectors of L-BFGS (src/parts/optimizer/lbfgs.rs). `moved`: c = a + factor b; `scaled`: c = factor a; `rescaled`: c = factor c; `add`: c += factor (scalar i -
// scalar j) a; `dot`: sums of a b over slabs, one a workgroup; `total`: their sum.
// entries: moved scaled rescaled add dot total

#include "lvq.glsl"

BUFFER(0, readonly, float, a);
BUFFER(1, readonly, float, b);
BUFFER(2, READ_WRITE, float, c);
BUFFER(3, READ_WRITE, float, scalars);

PUSH_BEGIN
    uint count;
#ifdef ENTRY_moved
    // First words.
    uint at_a;
    uint at_b;
    uint at_c;
    float factor;
#else
    // Numbers of scalars.
    uint i;
    uint j;
#if defined(ENTRY_dot) || defined(ENTRY_total)
    // First word of the sums.
    uint to;
#else
    float factor;
#endif
#endif
PUSH_END

#if defined(ENTRY_dot) || defined(ENTRY_total)

#include "workgroup.glsl"

FN void main() {
    float sum = 0.0f;
    for (uint e = gl_GlobalInvocationID.x; e < count; e += gl_NumWorkGroups.x * WIDTH) {
#ifdef ENTRY_dot
        sum += a[e] * b[e];
#else
        sum += a[e];
#endif
    }
    sum = total(sum);
    if (lane() == 0u) {
        c[to + gl_WorkGroupID.x] = sum;
    }
}

#else

LOCAL_SIZE(64);

FN void main() {
#ifdef ENTRY_add
    float times = factor * (scalars[i] - (j == NONE ? 0.0f : scalars[j]));
#endif
    for (uint e = gl_GlobalInvocationID.x; e < count; e += gl_NumWorkGroups.x * 64u) {
#if defined(ENTRY_moved)
        // Not even -0 is touched, nor is anything that is infinite in b.
        c[at_c + e] = factor == 0.0f ? a[at_a + e] : a[at_a + e] + factor * b[at_b + e];
#elif defined(ENTRY_scaled)
        c[e] = factor * a[e];
#elif defined(ENTRY_rescaled)
        c[e] = factor * c[e];
#else
        c[e] += times * a[e];
#endif
    }
}

#endif
