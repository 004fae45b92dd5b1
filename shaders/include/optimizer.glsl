// What the kernels of an optimizer's rule have of one block of parameters (src/parts/optimizer/plan.rs). A part says before what its
// `Numbers` are, in the order of its rule's `numbers`, and what the tensors of its state are called: STATE0, STATE1, ...

#include "lvq.glsl"

BUFFER(0, READ_WRITE, float, theta);
BUFFER(1, readonly, float, gradient);
BUFFER(2, readonly, Numbers, numbers);
// The same memory: behind the numbers of all blocks is the noise.
BUFFER(3, readonly, float, noise);
// Packed tensors of the state, its scalars, room.
BUFFER(4, READ_WRITE, float, small);
#ifdef STATE0
BUFFER(5, READ_WRITE, float, STATE0);
#endif
#ifdef STATE1
BUFFER(6, READ_WRITE, float, STATE1);
#endif
#ifdef STATE2
BUFFER(7, READ_WRITE, float, STATE2);
#endif
#ifdef STATE3
BUFFER(8, READ_WRITE, float, STATE3);
#endif

PUSH_BEGIN
    // Number of the block, elements, first word of its noise, first word of its room.
    uint block;
    uint count;
    uint first_noise;
    uint room;
#ifdef SIZES
    SIZES
#endif
PUSH_END
