// What every kernel includes: the few things that CUDA and the host build (host.h, which that build
// includes before the kernel) spell differently. Nothing here may include host.h: the PTX depends on
// this file and must not become stale when the host build changes.
#pragma once

#if defined(__CUDACC__)

// Shared memory whose size is given at the launch. A macro because `extern __shared__` has no
// counterpart in C++.
#define LVQ_DYNAMIC_SHARED(type, name) extern __shared__ type name[]

// A loop of a constant number of rounds, written out.
#define LVQ_UNROLL _Pragma("unroll")
// One that is left as it is.
#define LVQ_ROLLED _Pragma("unroll 1")

// An argument that is read where the launch put it, without a copy.
#define LVQ_ARGUMENT __grid_constant__

// A namespace for what every kernel has by the same name. On the host they are linked together, and none must be taken for another's;
// nvcc would put the number of its process into the names of an unnamed one, and no two builds would be equal.
#define LVQ_NAMESPACE namespace lvq
LVQ_NAMESPACE {}
using namespace lvq;

#elif defined(LVQ_HOST)

#define LVQ_DYNAMIC_SHARED(type, name) type* const name = lvq_host::dynamic_shared<type>()
// Written out, loops take the compiler long and gain nothing here.
#define LVQ_UNROLL
#define LVQ_ROLLED
#define LVQ_ARGUMENT
#define LVQ_NAMESPACE namespace

#else
#error "compile kernels with nvcc, or as C++ after host.h"
#endif
