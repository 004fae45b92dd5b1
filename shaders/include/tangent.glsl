// The distance orthogonal to a subspace a prototype, |e - Om_j u|^2 with e = x - w_j, u = Om_j^T e. The residual is formed coordinate by
// coordinate: nothing cancels. `coefficient(i, j, k)` is u_k, `basis(j, a, k)` an entry of Om_j.

FN float distance(uint i, uint j) {
    uint s = uint(power);
    float sum = 0.0f;
    for (uint a = 0u; a < l; a++) {
        float r = difference(i, j, a);
        for (uint k = 0u; k < s; k++) {
            r -= basis(j, a, k) * coefficient(i, j, k);
        }
        sum += r * r;
    }
    return sum;
}
