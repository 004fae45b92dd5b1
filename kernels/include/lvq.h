// What every kernel includes: the few things that CUDA and the host build (host.h, which that build
// includes before the kernel) spell differently. Nothing here may include host.h: the PTX depends on
// this file and must not become stale when the host build changes.
#pragma once

#if defined(__CUDACC__)

// Shared memory whose size is given at the launch. A macro because `extern __shared__` has no
// counterpart in C++.
#define LVQ_DYNAMIC_SHARED(type, name) extern __shared__ type name[]

#elif defined(LVQ_HOST)

#define LVQ_DYNAMIC_SHARED(type, name) type* const name = lvq_host::dynamic_shared<type>()

#else
#error "compile kernels with nvcc, or as C++ after host.h"
#endif
