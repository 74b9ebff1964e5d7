// Who multiplies matrices: our kernels, which are at least as fast as the others on all shapes that were measured
// (benchmarks), or the provider that PHONAUT_GEMM names, for comparison.
#include "kernels/cpu/gemm.hpp"

#include <cstdlib>
#include <string_view>

#include "phonaut/core/error.hpp"

namespace phonaut::kernel {

namespace {

using Provider = void (*)(const Cpu&, const Gemm<float>&);

Provider provider() {
  const char* wish = std::getenv("PHONAUT_GEMM");
  if (!wish || !*wish || std::string_view(wish) == "own") return gemm_own;
#ifdef PHONAUT_ONEDNN
  if (std::string_view(wish) == "onednn") return gemm_onednn;
  throw ConfigError(concat("PHONAUT_GEMM is \"", wish, "\", but this build knows only own and onednn"));
#else
  throw ConfigError(concat("PHONAUT_GEMM is \"", wish, "\", but this build knows only own (see PHONAUT_ONEDNN)"));
#endif
}

}  // namespace

void gemm(const Cpu& cpu, const Gemm<float>& g) {
  static const Provider chosen = provider();
  // Others are there to be compared with in fp32.
  if (cpu.precision == Precision::bf16) gemm_own(cpu, g);
  else chosen(cpu, g);
}

}  // namespace phonaut::kernel
