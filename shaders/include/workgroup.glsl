// One workgroup of 256 invocations, and numbers formed over all of them in a fixed order.

#define WIDTH 256u

LOCAL_SIZE(256);

SHARED(float, shared_, 256);

FN uint lane() {
    return gl_LocalInvocationID.x;
}

FN float total(float value) {
    shared_[lane()] = value;
    barrier();
    for (uint half_ = WIDTH / 2u; half_ > 0u; half_ /= 2u) {
        if (lane() < half_) {
            shared_[lane()] += shared_[lane() + half_];
        }
        barrier();
    }
    float sum = shared_[0];
    barrier();
    return sum;
}

FN float largest(float value) {
    shared_[lane()] = value;
    barrier();
    for (uint half_ = WIDTH / 2u; half_ > 0u; half_ /= 2u) {
        if (lane() < half_) {
            shared_[lane()] = max(shared_[lane()], shared_[lane() + half_]);
        }
        barrier();
    }
    float most = shared_[0];
    barrier();
    return most;
}
