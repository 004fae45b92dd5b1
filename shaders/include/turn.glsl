// From the slopes of keys to what the backward products want, one invocation a pair: the metric's text defines `turn(i, j)`.

LOCAL_SIZE(64);

FN void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i >= n) {
        return;
    }
    for (uint j = gl_WorkGroupID.y; j < p; j += gl_NumWorkGroups.y) {
        turn(i, j);
    }
}
