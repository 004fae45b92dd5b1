// The words of GLSL that the shaders are written with, as CUDA C++: what shaders/include/lvq.glsl says for GLSL. A kernel is a shader's
// text within a struct:
//
//     #include "include/glsl.h"
//
//     LVQ_KERNEL_BEGIN
//     #include "../shaders/adam.comp"
//     LVQ_KERNEL_END
//
// Buffers, push constants, constants and shared arrays become members, which are taken from the kernel's one argument; the shader's functions become member functions. LVQ_NAME is the kernel's name, and ENTRY_<entry> says which of the shader's
// entries it is (build/kernels.rs defines both).
#pragma once

#include "lvq.h"

LVQ_NAMESPACE {

struct Words {
    unsigned words[32];
};

// What a launch gives to a kernel; src/backend/cuda/mod.rs declares the same.
struct Arguments {
    void* buffers[14];
    Words words;
    unsigned constants[10];
    // Bit i: constants[i] was given.
    unsigned given;
};

struct Index {
    unsigned x;
};

// The words that are functions, as members: they come before the functions of C++ of the same names, which also take doubles.
struct Glsl {
    const Arguments& arguments;
    // Words of dynamic shared memory that are spoken for.
    unsigned spoken_for;

    __device__ __forceinline__ unsigned constant(unsigned id, unsigned otherwise) const {
        return arguments.given >> id & 1u ? arguments.constants[id] : otherwise;
    }
    template <class T>
    __device__ __forceinline__ T* shared_words(unsigned count) {
        LVQ_DYNAMIC_SHARED(unsigned, words);
        T* const first = reinterpret_cast<T*>(words + spoken_for);
        spoken_for += count;
        return first;
    }

    static __device__ __forceinline__ float abs(float x) { return fabsf(x); }
    static __device__ __forceinline__ float exp(float x) { return expf(x); }
    static __device__ __forceinline__ float log(float x) { return logf(x); }
    static __device__ __forceinline__ float pow(float x, float y) { return powf(x, y); }
    static __device__ __forceinline__ float sqrt(float x) { return sqrtf(x); }
    static __device__ __forceinline__ float roundEven(float x) { return rintf(x); }
    static __device__ __forceinline__ float sign(float x) {
        return x > 0.0f ? 1.0f : (x < 0.0f ? -1.0f : 0.0f);
    }
    static __device__ __forceinline__ float min(float x, float y) { return y < x ? y : x; }
    static __device__ __forceinline__ float max(float x, float y) { return x < y ? y : x; }
    static __device__ __forceinline__ unsigned min(unsigned x, unsigned y) { return y < x ? y : x; }
    static __device__ __forceinline__ unsigned max(unsigned x, unsigned y) { return x < y ? y : x; }
    static __device__ __forceinline__ float clamp(float x, float least, float most) {
        return min(max(x, least), most);
    }
    static __device__ __forceinline__ unsigned floatBitsToUint(float x) { return __float_as_uint(x); }
    static __device__ __forceinline__ float uintBitsToFloat(unsigned x) { return __uint_as_float(x); }
    // The sum over a warp, in every thread of it.
    static __device__ __forceinline__ float subgroupAdd(float x) {
        for (int lanes = 16; lanes > 0; lanes /= 2) {
            x += __shfl_xor_sync(0xffffffffu, x, lanes);
        }
        return x;
    }
};

}  // LVQ_NAMESPACE

typedef unsigned uint;

// Where an invocation is; blocks have one side, as workgroups do.
#define gl_WorkGroupID blockIdx
#define gl_NumWorkGroups gridDim
#define gl_LocalInvocationID threadIdx
#define gl_LocalInvocationIndex threadIdx.x
#define gl_GlobalInvocationID (Index{blockIdx.x * LVQ_THREADS + threadIdx.x})

// A subgroup is a warp.
#define gl_SubgroupInvocationID (threadIdx.x % 32u)
#define gl_SubgroupID (threadIdx.x / 32u)
#define gl_NumSubgroups (LVQ_THREADS / 32u)

// __syncthreads also orders what was written to buffers, for the threads of the block.
#define barrier() __syncthreads()
#define memoryBarrierBuffer() __threadfence_block()

#define FN __device__ __forceinline__
#define OUT(type) type&
#define INOUT(type) type&
// Products are fused with sums on a GPU, as nvcc does unless it is told not to; what is PRECISE has no products.
#define PRECISE
#define UNROLL LVQ_UNROLL

#define readonly const
#define writeonly
#define coherent
#define READ_WRITE

#define LOCAL_SIZE(x) static constexpr unsigned LVQ_THREADS = x
#define BUFFER(number, access, type, name) \
    access type* const name = static_cast<access type*>(arguments.buffers[number])
#define PUSH_BEGIN \
    union {        \
        Words pushed;  \
        struct {
#define PUSH_END \
        };       \
    };
#define CONSTANT(id, name, value) const unsigned name = constant(id, value)
#define SHARED(type, name, count)                           \
    static __device__ __forceinline__ type* shared_##name() { \
        __shared__ type words[count];                       \
        return words;                                       \
    }                                                       \
    type* const name = shared_##name()
#define SHARED_SIZED(type, name, count) type* const name = shared_words<type>(count)

// Blocks that a multiprocessor is to hold at least. 0: as ptxas sees fit, which is as many as can be, within its registers. A kernel
// that would spill registers then says 1.
#ifndef LVQ_BLOCKS
#define LVQ_BLOCKS 0
#endif

#define LVQ_KERNEL_BEGIN \
    LVQ_NAMESPACE {      \
    struct Kernel : Glsl {
#define LVQ_KERNEL_END                                                            \
    };                                                                            \
    }                                                                             \
    extern "C" __global__ void __launch_bounds__(Kernel::LVQ_THREADS, LVQ_BLOCKS) \
        LVQ_NAME(const LVQ_ARGUMENT Arguments arguments) {                        \
        Kernel kernel{{arguments, 0u}};                                           \
        kernel.pushed = arguments.words;                                          \
        kernel.main();                                                            \
    }
