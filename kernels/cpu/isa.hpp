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
#define PHONAUT_DISPATCH_PRODUCTS(kernel_name, params, args)
#define PHONAUT_DISPATCH_BYTES(kernel_name, params, args)

#else

// The build says which sets it has besides the baseline (CMake's PHONAUT_ISAS).
#ifdef PHONAUT_HAS_AVX2
#define PHONAUT_AVX2(...) __VA_ARGS__
#else
#define PHONAUT_AVX2(...)
#endif
#ifdef PHONAUT_HAS_AVX512
#define PHONAUT_AVX512(...) __VA_ARGS__
#else
#define PHONAUT_AVX512(...)
#endif
#ifdef PHONAUT_HAS_AVX512_VNNI
#define PHONAUT_AVX512_VNNI(...) __VA_ARGS__
#else
#define PHONAUT_AVX512_VNNI(...)
#endif
#ifdef PHONAUT_HAS_AVX512_BF16
#define PHONAUT_AVX512_BF16(...) __VA_ARGS__
#else
#define PHONAUT_AVX512_BF16(...)
#endif
#ifdef PHONAUT_HAS_AVX512_AMX
#define PHONAUT_AVX512_AMX(...) __VA_ARGS__
#else
#define PHONAUT_AVX512_AMX(...)
#endif
#define PHONAUT_DECLARE_IN(isa, kernel_name, params) \
  namespace phonaut::kernel::isa {                   \
  void kernel_name params;                           \
  }
#define PHONAUT_CALL_IN(isa, kernel_name, args) \
  case ::phonaut::Isa::isa:                     \
    return ::phonaut::kernel::isa::kernel_name args;

#define PHONAUT_DISPATCH_IN(home, kernel_name, params, args)      \
  PHONAUT_DECLARE_IN(baseline, kernel_name, params)               \
  PHONAUT_AVX2(PHONAUT_DECLARE_IN(avx2, kernel_name, params))     \
  PHONAUT_AVX512(PHONAUT_DECLARE_IN(avx512, kernel_name, params)) \
  void home::kernel_name params {                                 \
    switch (cpu.isa) {                                            \
      PHONAUT_AVX512(PHONAUT_CALL_IN(avx512, kernel_name, args))  \
      PHONAUT_AVX2(PHONAUT_CALL_IN(avx2, kernel_name, args))      \
      default:                                                    \
        return ::phonaut::kernel::baseline::kernel_name args;     \
    }                                                             \
  }

#define PHONAUT_DISPATCH_ANY_ISA(kernel_name, params, args) \
  namespace phonaut::kernel::any_isa {                      \
  void kernel_name params;                                  \
  }                                                         \
  PHONAUT_DISPATCH_IN(phonaut::kernel::any_isa, kernel_name, params, args)

/// PHONAUT_DISPATCH for a file that is also compiled for avx512_bf16 and avx512_amx (PHONAUT_BF16_KERNELS in CMake):
/// goes there where products are asked for in bf16 and the context has such a unit.
#define PHONAUT_DISPATCH_PRODUCTS(kernel_name, params, args)                                                          \
  PHONAUT_AVX512_BF16(PHONAUT_DECLARE_IN(avx512_bf16, kernel_name, params))                                           \
  PHONAUT_AVX512_AMX(PHONAUT_DECLARE_IN(avx512_amx, kernel_name, params))                                             \
  PHONAUT_DISPATCH_ANY_ISA(kernel_name, params, args)                                                                 \
  void phonaut::kernel::kernel_name params {                                                                          \
    if (cpu.precision == ::phonaut::Precision::bf16 && cpu.isa == ::phonaut::Isa::avx512) {                           \
      PHONAUT_AVX512_AMX(                                                                                             \
          if (cpu.bf16_unit == ::phonaut::Bf16Unit::amx) return ::phonaut::kernel::avx512_amx::kernel_name args;)     \
      PHONAUT_AVX512_BF16(                                                                                            \
          if (cpu.bf16_unit == ::phonaut::Bf16Unit::avx512) return ::phonaut::kernel::avx512_bf16::kernel_name args;) \
    }                                                                                                                 \
    ::phonaut::kernel::any_isa::kernel_name args;                                                                     \
  }

/// PHONAUT_DISPATCH for a file that is also compiled for avx512_vnni (PHONAUT_VNNI_KERNELS in CMake).
#define PHONAUT_DISPATCH_BYTES(kernel_name, params, args)                                                            \
  PHONAUT_AVX512_VNNI(PHONAUT_DECLARE_IN(avx512_vnni, kernel_name, params))                                          \
  PHONAUT_DISPATCH_ANY_ISA(kernel_name, params, args)                                                                \
  void phonaut::kernel::kernel_name params {                                                                         \
    PHONAUT_AVX512_VNNI(                                                                                             \
        if (cpu.vnni && cpu.isa == ::phonaut::Isa::avx512) return ::phonaut::kernel::avx512_vnni::kernel_name args;) \
    ::phonaut::kernel::any_isa::kernel_name args;                                                                    \
  }

#endif

/// Emits the kernel that a public header declared in namespace phonaut::kernel:
///   PHONAUT_DISPATCH(glu_forward, (const Cpu& cpu, View<const float, 2> x, View<float, 2> y), (cpu, x, y))
/// The backend must be named `cpu`; kernels return nothing. A header that disagrees does not compile.
#define PHONAUT_DISPATCH(kernel_name, params, args) PHONAUT_DISPATCH_IN(phonaut::kernel, kernel_name, params, args)
