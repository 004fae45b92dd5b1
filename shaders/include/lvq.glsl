// What every shader starts with: the words that let one text be GLSL and CUDA C++, and the arithmetic that all parts share.
//
// In C++ the text of a shader stands within a struct (kernels/NAME.cu): its buffers, sizes and constants are members, its functions are
// member functions, and kernels/include/glsl.h says there what the words below say here. Hence the style: `1.0f`, no vectors, FN before
// every function, no constants but macros.

#ifndef LVQ_GLSL
#define LVQ_GLSL

#ifndef __cplusplus

#extension GL_EXT_control_flow_attributes : require

#define FN
#define OUT(type) out type
#define INOUT(type) inout type
#define UNROLL [[unroll]]
// Not fused with another operation, nor reordered.
#define PRECISE precise

// Invocations of a workgroup; they are numbered along one side.
#define LOCAL_SIZE(x) layout(local_size_x = x) in
// A buffer: readonly, writeonly, coherent (invocations read what others wrote) or READ_WRITE.
#define BUFFER(number, access, type, name) layout(std430, binding = number) access buffer buffer_##name { type name[]; }
#define READ_WRITE
// Around the members of the push constants.
#define PUSH_BEGIN layout(push_constant) uniform Sizes {
#define PUSH_END };
// A constant that the kernel is specialised by.
#define CONSTANT(id, name, value) layout(constant_id = id) const uint name = value
// An array that a workgroup shares; with a length that is a constant of the kernel. Constants from 8 on are such lengths.
#define SHARED(type, name, count) shared type name[count]
#define SHARED_SIZED(type, name, count) shared type name[count]

#endif

#define EPS 1e-10f
#define LARGEST 3.402823466e38f
#define NONE 0xffffffffu

// Operands of products: 0 as they are, 1 rounded to bfloat16, 2 to IEEE half precision, 3 to TF32; to nearest, ties to even.
FN float rounded(float v, uint operand) {
    if (operand == 0u) {
        return v;
    }
    uint bits = floatBitsToUint(v);
    uint magnitude = bits & 0x7fffffffu;
    uint sign = bits & 0x80000000u;
    if (magnitude >= 0x7f800000u) {
        return v;
    }
    if (operand == 1u) {
        bits += 0x7fffu + ((bits >> 16) & 1u);
        return uintBitsToFloat(bits & 0xffff0000u);
    }
    if (operand == 3u) {
        bits += 0xfffu + ((bits >> 13) & 1u);
        return uintBitsToFloat(bits & 0xffffe000u);
    }
    if (magnitude < 0x38800000u) {
        // Subnormal in half precision: multiples of 2^-24.
        float steps = roundEven(abs(v) * 16777216.0f);
        return uintBitsToFloat(floatBitsToUint(steps * 5.9604644775390625e-8f) | sign);
    }
    magnitude += 0xfffu + ((magnitude >> 13) & 1u);
    magnitude &= 0xffffe000u;
    return uintBitsToFloat((magnitude >= 0x47800000u ? 0x7f800000u : magnitude) | sign);
}

// exp(x) - 1 without cancellation.
FN float expm1_(float x) {
    if (abs(x) > 0.5f) {
        return exp(x) - 1.0f;
    }
    // The series up to x^10 / 10!: below 2^-24 of the value for |x| <= 1/2.
    float s = 1.0f + x * 0.1f;
    s = 1.0f + x * s / 9.0f;
    s = 1.0f + x * s * 0.125f;
    s = 1.0f + x * s / 7.0f;
    s = 1.0f + x * s / 6.0f;
    s = 1.0f + x * s * 0.2f;
    s = 1.0f + x * s * 0.25f;
    s = 1.0f + x * s / 3.0f;
    s = 1.0f + x * s * 0.5f;
    return x * s;
}

// sign(x) with sign(0) = 1.
FN float sign_(float x) {
    return x >= 0.0f ? 1.0f : -1.0f;
}

#endif
