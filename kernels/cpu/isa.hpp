#pragma once
// One kernel file, several instruction sets.
//
// Each kernels/cpu/<op>.cpp is compiled once per instruction set with -DPHONAUT_ISA=<name> (baseline, avx2, avx512):
// these passes define the kernels in namespace phonaut::kernel::<name>. It is compiled once more without PHONAUT_ISA:
// that pass emits the dispatcher phonaut::kernel::<kernel>, which switches on `cpu.isa`. There is no static state, so
// that a program can run every set that its processor has, side by side. kernels/README.md shows a whole file.
//
// A pass with PHONAUT_ISA may include this header and its neighbours, xsimd, and phonaut headers as light as view.hpp:
// no containers, no algorithms, nothing whose inline functions another file could share.
#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"

/// For lambdas in the inner loops of a kernel, after the parameter list: compilers keep large ones as functions.
#define PHONAUT_FORCE_INLINE __attribute__((always_inline))

#ifdef PHONAUT_ISA

#define PHONAUT_DISPATCH_IN(home, kernel_name, params, args)

#else

#if defined(__x86_64__)
#define PHONAUT_DISPATCH_IN(home, kernel_name, params, args) \
  namespace phonaut::kernel::baseline {                      \
  void kernel_name params;                                   \
  }                                                          \
  namespace phonaut::kernel::avx2 {                          \
  void kernel_name params;                                   \
  }                                                          \
  namespace phonaut::kernel::avx512 {                        \
  void kernel_name params;                                   \
  }                                                          \
  void home::kernel_name params {                            \
    switch (cpu.isa) {                                       \
      case ::phonaut::Isa::avx512:                           \
        return ::phonaut::kernel::avx512::kernel_name args;  \
      case ::phonaut::Isa::avx2:                             \
        return ::phonaut::kernel::avx2::kernel_name args;    \
      case ::phonaut::Isa::baseline:                         \
        break;                                               \
    }                                                        \
    ::phonaut::kernel::baseline::kernel_name args;           \
  }
#else  // one set: whatever the compiler takes for granted (NEON on 64-bit ARM)
#define PHONAUT_DISPATCH_IN(home, kernel_name, params, args) \
  namespace phonaut::kernel::baseline {                      \
  void kernel_name params;                                   \
  }                                                          \
  void home::kernel_name params { ::phonaut::kernel::baseline::kernel_name args; }
#endif

#endif

/// Emits the kernel that a public header declared in namespace phonaut::kernel:
///   PHONAUT_DISPATCH(glu_forward, (const Cpu& cpu, View<const float, 2> x, View<float, 2> y), (cpu, x, y))
/// The backend must be named `cpu`; kernels return nothing. A header that disagrees does not compile.
#define PHONAUT_DISPATCH(kernel_name, params, args) PHONAUT_DISPATCH_IN(phonaut::kernel, kernel_name, params, args)
