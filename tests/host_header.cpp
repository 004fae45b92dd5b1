// Kernels that try what kernels/include/host.h promises. Compiled and run by tests/devices.rs; prints
// what fails and returns how many did.
#include <stdio.h>

#include "include/host.h"
// After host.h, as a kernel would.
#include "include/lvq.h"

static int failures = 0;

static void expect(bool holds, const char* what) {
    if (holds) return;
    ++failures;
    printf("failed: %s\n", what);
}

template <class... P>
static const char* run(dim3 grid, dim3 block, unsigned shared, bool descending, void (*kernel)(P...),
                       std::remove_const_t<P>... arguments) {
    void* pointers[] = {&arguments...};
    const lvq_host::Launch launch{
        {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared, descending};
    return lvq_host::launch(launch, kernel, pointers);
}

static bool says(const char* error, const char* part) { return error && strstr(error, part); }

// Indices: each thread writes its number to its place.
__global__ void number(unsigned* out) {
    const unsigned b = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned t = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[b * blockDim.x * blockDim.y * blockDim.z + t] += 1 + t + 1000 * b;
}

// Reverses a block through static shared memory.
__global__ void reverse(int* values) {
    __shared__ int tile[96];
    tile[threadIdx.x] = values[threadIdx.x];
    __syncthreads();
    values[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

// The same without the barrier: must come out wrong.
__global__ void reverse_without_barrier(int* values) {
    __shared__ int tile[96];
    tile[threadIdx.x] = -1;
    __syncthreads();
    tile[threadIdx.x] = values[threadIdx.x];
    values[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

// Tree reduction in dynamic shared memory.
__global__ void tree(const float* in, float* out) {
    LVQ_DYNAMIC_SHARED(float, buffer);
    if (threadIdx.x == 0 && buffer[0] == buffer[0]) *out = -1.0f;  // poisoned with NaN
    __syncthreads();
    buffer[threadIdx.x] = in[threadIdx.x];
    for (unsigned width = blockDim.x / 2; width > 0; width /= 2) {
        __syncthreads();
        if (threadIdx.x < width) buffer[threadIdx.x] += buffer[threadIdx.x + width];
    }
    if (threadIdx.x == 0 && *out == 0.0f) *out = buffer[0];
}

// Shuffles in groups of 8, one line of results each.
__global__ void shuffle(int* out) {
    const int lane = int(threadIdx.x);
    const unsigned all = 0xffffffffu;
    out[lane] = __shfl_sync(all, lane, 3, 8);
    out[32 + lane] = __shfl_up_sync(all, lane, 2, 8);
    out[64 + lane] = __shfl_down_sync(all, lane, 2, 8);
    out[96 + lane] = __shfl_xor_sync(all, lane, 5);
    out[128 + lane] = __shfl_xor_sync(all, lane, 8, 8);
}

// Sum over a warp, with doubles, then votes over a part of it.
__global__ void warp(double* sum, unsigned* votes) {
    double value = threadIdx.x + 0.5;
    for (int offset = 16; offset > 0; offset /= 2)
        value += __shfl_down_sync(0xffffffffu, value, unsigned(offset));
    if (threadIdx.x % 32 == 0) sum[threadIdx.x / 32] = value;
    if (threadIdx.x < 8) {
        const unsigned odd = __ballot_sync(0xffu, threadIdx.x & 1);
        const int any = __any_sync(0xffu, threadIdx.x == 7);
        const int all = __all_sync(0xffu, threadIdx.x < 7);
        if (threadIdx.x == 0) {
            votes[0] = odd;
            votes[1] = unsigned(any);
            votes[2] = unsigned(all);
        }
    }
    const int count = __syncthreads_count(threadIdx.x % 3 == 0);
    if (threadIdx.x == 0) votes[3] = unsigned(count);
}

__global__ void atomics(int* sum, float* real, int* least, int* most, unsigned* bits) {
    atomicAdd(sum, 1);
    atomicAdd(real, 0.5f);
    atomicMin(least, int(threadIdx.x));
    atomicMax(most, int(threadIdx.x));
    atomicOr(bits, 1u << threadIdx.x % 32);
}

__global__ void half_leaves() {
    if (threadIdx.x % 2) return;
    __syncthreads();
}

__global__ void two_barriers() {
    if (threadIdx.x % 2)
        __syncthreads();
    else
        __syncthreads();
}

__global__ void lane_outside_mask() { __syncwarp(1u); }

__global__ void absent_lanes() {
    if (threadIdx.x < 16)
        __syncwarp(0xffffffffu);
    else
        __syncthreads();
}

int main() {
    for (bool descending : {false, true}) {
        unsigned numbers[6 * 30] = {};
        expect(!run(dim3(3, 2), dim3(5, 3, 2), 0, descending, number, numbers), "number runs");
        bool right = true;
        for (unsigned i = 0; i < 6 * 30; ++i) right &= numbers[i] == 1 + i % 30 + 1000 * (i / 30);
        expect(right, "every thread of every block runs once with its indices");

        int values[96], wrong[96];
        for (int i = 0; i < 96; ++i) values[i] = wrong[i] = i;
        expect(!run(1, 96, 0, descending, reverse, values), "reverse runs");
        expect(!run(1, 96, 0, descending, reverse_without_barrier, wrong), "the other runs");
        right = true;
        bool mistaken = false;
        for (int i = 0; i < 96; ++i) {
            right &= values[i] == 95 - i;
            mistaken |= wrong[i] != 95 - i;
        }
        expect(right, "a barrier makes the other threads' writes visible");
        expect(mistaken, "a missing barrier shows");

        float in[128], sum = 0.0f;
        for (int i = 0; i < 128; ++i) in[i] = float(i);
        expect(!run(1, 128, sizeof in, descending, tree, in, &sum), "tree runs");
        expect(sum == 8128.0f, "dynamic shared memory, poisoned at first");

        int out[160];
        expect(!run(1, 32, 0, descending, shuffle, out), "shuffle runs");
        right = true;
        for (int l = 0; l < 32; ++l) {
            right &= out[l] == l / 8 * 8 + 3;
            right &= out[32 + l] == (l % 8 >= 2 ? l - 2 : l);
            right &= out[64 + l] == (l % 8 < 6 ? l + 2 : l);
            right &= out[96 + l] == (l ^ 5);
            right &= out[128 + l] == (l / 8 % 2 ? l - 8 : l);
        }
        expect(right, "shuffles in a warp and in groups");

        double sums[2];
        unsigned votes[4];
        expect(!run(1, 64, 0, descending, warp, sums, votes), "warp runs");
        expect(sums[0] == 512.0 && sums[1] == 1536.0, "warp sums of doubles");
        expect(votes[0] == 0xaa && votes[1] == 1 && votes[2] == 0, "votes under a mask");
        expect(votes[3] == 22, "__syncthreads_count");

        int total = 0, least = 99, most = -1;
        unsigned bits = 0;
        float real = 0.0f;
        expect(!run(3, 48, 0, descending, atomics, &total, &real, &least, &most, &bits), "atomics");
        expect(total == 144 && real == 72.0f && least == 0 && most == 47 && bits == ~0u, "atomics");

        expect(says(run(1, 64, 0, descending, half_leaves), "others have left"), "left block");
        expect(says(run(1, 64, 0, descending, two_barriers), "different"), "two barriers");
        expect(says(run(1, 32, 0, descending, lane_outside_mask), "lacks it"), "outside mask");
        expect(says(run(1, 32, 0, descending, absent_lanes), "never come"), "absent lanes");
    }
    expect(says(run(1, 1025, 0, false, half_leaves), "1024"), "too many threads");
    expect(says(run(dim3(1, 65536), 1, 0, false, half_leaves), "65535"), "too large a grid");
    expect(says(run(0, 1, 0, false, half_leaves), "size 0"), "empty grid");
    expect(says(run(1, 1, 1 << 20, false, half_leaves), "shared"), "too much shared memory");
    return failures;
}
