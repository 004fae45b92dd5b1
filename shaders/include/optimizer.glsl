// What the kernels of an optimizer's rule have of one block of parameters (src/parts/optimizer/plan.rs). A part says before what its
// `Numbers` are, in the order of its rule's `numbers`, and what the tensors of its state are called: STATE0, STATE1, ...

#include "lvq.glsl"

layout(std430, binding = 0) buffer Theta { float theta[]; };
layout(std430, binding = 1) readonly buffer Gradient { float gradient[]; };
layout(std430, binding = 2) readonly buffer AllNumbers { Numbers numbers[]; };
// The same memory: behind the numbers of all blocks is the noise.
layout(std430, binding = 3) readonly buffer Noise { float noise[]; };
// Packed tensors of the state, its scalars, room.
layout(std430, binding = 4) buffer Small { float small[]; };
#ifdef STATE0
layout(std430, binding = 5) buffer State0 { float STATE0[]; };
#endif
#ifdef STATE1
layout(std430, binding = 6) buffer State1 { float STATE1[]; };
#endif
#ifdef STATE2
layout(std430, binding = 7) buffer State2 { float STATE2[]; };
#endif
#ifdef STATE3
layout(std430, binding = 8) buffer State3 { float STATE3[]; };
#endif

layout(push_constant) uniform Sizes {
    // Number of the block, elements, first word of its noise, first word of its room.
    uint block;
    uint count;
    uint first_noise;
    uint room;
#ifdef SIZES
    SIZES
#endif
};
