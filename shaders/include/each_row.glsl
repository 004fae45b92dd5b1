FN void main() {
    uint i = gl_GlobalInvocationID.x;
    if (i < n) {
        row(i);
    }
}
