// Who multiplies matrices: our kernels, which are at least as fast as the others on all shapes that were measured
// (benchmarks), or the provider that PHONAUT_GEMM names, for comparison.
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/byte_products.hpp"

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
  if (cpu.precision == Precision::int8 && g.a_col == 1 && g.b_row == 1 && g.b_col == g.k &&
      (g.batch == 1 || g.b_batch == 0))
    if (const PackedBytes packed = find_bytes(cpu.packed, g.b, g.n, g.k); packed.quads)
      return multiply_bytes(cpu, g, packed);
  // Others are there to be compared with in fp32, and know no activations.
  if (cpu.precision == Precision::bf16 || chosen == gemm_own) return gemm_own(cpu, g);
  Gemm<float> plain = g;
  plain.activation = Activation::none;
  chosen(cpu, plain);
  with_formula(g.activation, [&](auto f) {
    for (long q = 0; q < g.batch; ++q) {
      const View<float, 2> c(g.c + q * g.c_batch, Shape<2>{g.m, g.n}, Shape<2>{g.c_row, 1});
      map_forward(cpu, f, View<const float, 2>(c.data, c.shape, c.stride), c);
    }
  });
}

}  // namespace phonaut::kernel
