// Keys of a chunk, one invocation a pair. The metric's text defines `distance(i, j)`; with RAW it wants its distances kept as they are for
// the backward products, with MORE also what it leaves in `more_`.

layout(local_size_x = 64) in;

layout(std430, binding = 5) writeonly buffer Keys { float keys[]; };
#ifdef RAW
layout(std430, binding = 6) writeonly buffer Raw { float raw[]; };
#endif
#ifdef MORE
layout(std430, binding = 7) writeonly buffer More { float more[]; };
#endif

void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i >= n) {
        return;
    }
    for (uint j = gl_WorkGroupID.y; j < p; j += gl_NumWorkGroups.y) {
        float d = distance(i, j);
#ifdef RAW
        raw[j * stride + i] = d;
#endif
#ifdef MORE
        more[j * stride + i] = more_;
#endif
        keys[j * stride + i] = (d + affine[j]) * affine[p + j];
    }
}
