// Which instruction set to run: what the processor and the operating system have, or what PHONAUT_ISA asks for.
#include <cstdlib>
#include <string_view>

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

bool can_multiply_bf16() noexcept {
#if defined(PHONAUT_HAS_AVX512_BF16)
  return can_run(Isa::avx512) && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

const char* name_of(Precision precision) noexcept { return precision == Precision::bf16 ? "bf16" : "fp32"; }

Precision precision_named(const char* name) {
  for (Precision precision : {Precision::fp32, Precision::bf16})
    if (std::string_view(name) == name_of(precision)) return precision;
  throw ConfigError(concat("precision is \"", name, "\", but only fp32 and bf16 are known"));
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
