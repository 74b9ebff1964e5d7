// Which instruction set to run: what the processor and the operating system have, or what PHONAUT_ISA asks for.
#include <cstdlib>
#include <string_view>

#if defined(PHONAUT_HAS_AVX512_AMX) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "phonaut/core/backend.hpp"
#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {
constexpr Isa weakest_first[] = {Isa::baseline, Isa::avx2, Isa::avx512};
}

const char* name_of(Isa isa) noexcept {
  switch (isa) {
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    case Isa::baseline:
      break;
  }
  return "baseline";
}

bool can_run(Isa isa) noexcept {
  // __builtin_cpu_supports also asks the operating system (XGETBV) whether it saves the wide registers.
  switch (isa) {
    case Isa::avx512:
#if defined(PHONAUT_HAS_AVX512)
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
      return false;
#endif
    case Isa::avx2:
#if defined(PHONAUT_HAS_AVX2)
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
      return false;
#endif
    case Isa::baseline:
      break;
  }
  return true;
}

const char* name_of(Bf16Unit unit) noexcept {
  switch (unit) {
    case Bf16Unit::amx:
      return "amx";
    case Bf16Unit::avx512:
      return "avx512_bf16";
    case Bf16Unit::none:
      break;
  }
  return "floats";
}

namespace {

#if defined(PHONAUT_HAS_AVX512_AMX) && defined(__linux__)
/// Whether the processor has tiles of bfloat16 and Linux lends them to this process, which it does when asked (since
/// 5.16), unless a signal stack is too small for their state.
bool have_amx() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned bf16 = 1u << 22, tiles = 1u << 24;
  if ((d & (bf16 | tiles)) != (bf16 | tiles)) return false;
  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#endif

}  // namespace

bool can_run(Bf16Unit unit) noexcept {
  switch (unit) {
    case Bf16Unit::amx:
#if defined(PHONAUT_HAS_AVX512_AMX) && defined(__linux__)
    {
      static const bool have = have_amx();
      return have && can_run(Bf16Unit::avx512);
    }
#else
      return false;
#endif
    case Bf16Unit::avx512:
#if defined(PHONAUT_HAS_AVX512_BF16)
      return can_run(Isa::avx512) && __builtin_cpu_supports("avx512bf16");
#else
      return false;
#endif
    case Bf16Unit::none:
      break;
  }
  return true;
}

Bf16Unit best_bf16_unit() noexcept {
  for (Bf16Unit unit : {Bf16Unit::amx, Bf16Unit::avx512})
    if (can_run(unit)) return unit;
  return Bf16Unit::none;
}

bool has_vnni() noexcept {
#if defined(PHONAUT_HAS_AVX512_VNNI)
  return can_run(Isa::avx512) && __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

const char* name_of(Precision precision) noexcept {
  switch (precision) {
    case Precision::tf32:
      return "tf32";
    case Precision::bf16:
      return "bf16";
    case Precision::int8:
      return "int8";
    case Precision::fp32:
      break;
  }
  return "fp32";
}

Precision precision_named(const char* name) {
  for (Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16, Precision::int8})
    if (std::string_view(name) == name_of(precision)) return precision;
  throw ConfigError(concat("precision is \"", name, "\", but only fp32, tf32, bf16 and int8 are known"));
}

Isa best_isa() {
  if (const char* wish = std::getenv("PHONAUT_ISA"); wish && *wish) {
    for (Isa isa : weakest_first) {
      if (std::string_view(wish) != name_of(isa)) continue;
      if (!can_run(isa))
        throw ConfigError(concat("PHONAUT_ISA asks for ", wish, ", which this processor or this build lacks"));
      return isa;
    }
    throw ConfigError(concat("PHONAUT_ISA is \"", wish, "\", but only baseline, avx2 and avx512 are known"));
  }
  Isa best = Isa::baseline;
  for (Isa isa : weakest_first)
    if (can_run(isa)) best = isa;
  return best;
}

}  // namespace phonaut
