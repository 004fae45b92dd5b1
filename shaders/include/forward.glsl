// Keys of a chunk, one invocation a pair. The metric's text defines `distance(i, j)`; with RAW it wants kept for the
// backward products what it leaves in `raw_`, with MORE also what it leaves in `more_`.

LOCAL_SIZE(64);

BUFFER(5, writeonly, float, keys);
#ifdef RAW
BUFFER(6, writeonly, float, raw);
#endif
#ifdef MORE
BUFFER(7, writeonly, float, more);
#endif

FN void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i >= n) {
        return;
    }
    for (uint j = gl_WorkGroupID.y; j < p; j += gl_NumWorkGroups.y) {
        float d = distance(i, j);
#ifdef RAW
        raw[j * stride + i] = raw_;
#endif
#ifdef MORE
        more[j * stride + i] = more_;
#endif
        keys[j * stride + i] = (d + affine[j]) * affine[p + j];
    }
}
