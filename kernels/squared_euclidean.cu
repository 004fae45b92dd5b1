// Squared Euclidean distances, f32:
//
//     d[i, j] = sum_a (x[i, a] - w[j, a])^2        x: n x dim, w: p x dim, d: n x p, all row-major
//
// The differences are formed and squared; the expansion |x|^2 + |w|^2 - 2 x.w is not used. It would
// save one of two instructions per term, but it loses the digits that x and w share unless both were
// centred before (an offset of 1e4 leaves nothing of an f32 distance), and this kernel promises its
// accuracy for operands as they come: equal rows have the distance 0, no result is negative, and the
// relative error is at most about (dim + 2) / 2^24 whatever the offset.
//
// A block computes a TILE x TILE square of d; each of its SIDE x SIDE threads holds EACH x EACH sums
// in registers. DEPTH columns at a time are staged through shared memory, transposed, so that a value
// read once from memory serves TILE sums. Traffic: x is read p / TILE times, w n / TILE times.
//
// Launch: block (SIDE, SIDE), grid (ceil(n / TILE), ceil(p / TILE)); rows lie along grid.x, which may
// be the longer. Any n, p, dim >= 1.

#include "include/lvq.h"

namespace {

constexpr int SIDE = 16;
constexpr int EACH = 4;
constexpr int TILE = SIDE * EACH;
constexpr int DEPTH = 16;

// Stages rows first .. first + TILE - 1 and columns column .. column + DEPTH - 1 of the rows x dim
// matrix m. What lies outside the matrix becomes 0: a missing column then adds (0 - 0)^2 to a sum,
// and the sums of missing rows are never written.
__device__ __forceinline__ void stage(float (*tile)[TILE + 1], const float* m, long long rows,
                                      int dim, long long first, int column) {
    const int thread = threadIdx.y * SIDE + threadIdx.x;
    for (int at = thread; at < TILE * DEPTH; at += SIDE * SIDE) {
        // Neighbouring threads read neighbouring columns of one row: DEPTH floats = 64 bytes. The
        // odd row length TILE + 1 keeps the transposed writes in different banks.
        const int row = at / DEPTH;
        const int a = at % DEPTH;
        const bool inside = first + row < rows && column + a < dim;
        tile[a][row] = inside ? m[(first + row) * dim + column + a] : 0.0f;
    }
}

}  // namespace

extern "C" __global__ void __launch_bounds__(SIDE * SIDE)
squared_euclidean(const float* __restrict__ x, const float* __restrict__ w, float* __restrict__ d,
                  long long n, long long p, int dim) {
    __shared__ float xs[DEPTH][TILE + 1];
    __shared__ float ws[DEPTH][TILE + 1];

    const long long row = static_cast<long long>(blockIdx.x) * TILE;
    const long long prototype = static_cast<long long>(blockIdx.y) * TILE;

    float sum[EACH][EACH] = {};
    for (int column = 0; column < dim; column += DEPTH) {
        stage(xs, x, n, dim, row, column);
        stage(ws, w, p, dim, prototype, column);
        __syncthreads();
        for (int a = 0; a < DEPTH; ++a) {
            // A thread's rows lie SIDE apart, so that the threads of a warp read a run of ws and one
            // value of xs.
            float xv[EACH], wv[EACH];
#pragma unroll
            for (int r = 0; r < EACH; ++r) {
                xv[r] = xs[a][threadIdx.y + r * SIDE];
                wv[r] = ws[a][threadIdx.x + r * SIDE];
            }
#pragma unroll
            for (int r = 0; r < EACH; ++r) {
#pragma unroll
                for (int c = 0; c < EACH; ++c) {
                    const float difference = xv[r] - wv[c];
                    sum[r][c] = fmaf(difference, difference, sum[r][c]);
                }
            }
        }
        // The next columns may not be staged before every thread is done with these.
        __syncthreads();
    }

    for (int r = 0; r < EACH; ++r) {
        for (int c = 0; c < EACH; ++c) {
            const long long i = row + threadIdx.y + r * SIDE;
            const long long j = prototype + threadIdx.x + c * SIDE;
            if (i < n && j < p) d[i * p + j] = sum[r][c];
        }
    }
}
