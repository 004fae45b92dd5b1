// An update of one element after the other: a part says what is added to parameter e,
// `float change(uint e, float theta, float g, Numbers n)`, and moves its state.

LOCAL_SIZE(64);

FN void main() {
    Numbers n = numbers[block];
    for (uint e = gl_GlobalInvocationID.x; e < count; e += gl_NumWorkGroups.x * 64u) {
        theta[e] += change(e, theta[e], gradient[e], n);
    }
}
