#include "phonaut/core/random.hpp"
#include "rows.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

/// Draws that are computed together: many lanes of Philox side by side.
constexpr long draws_at_once = 64;

/// The upper 24 bits of draws first … first + 63, as numbers in [0, 1). The same as Draws::uniform, but in an order
/// that the compiler turns into vector code.
PHONAUT_INLINE void uniform_draws(const Draws& draws, std::uint64_t first, float* uniform) {
  constexpr long blocks = draws_at_once / 4;
  std::uint32_t c0[blocks], c1[blocks], c2[blocks] = {}, c3[blocks] = {};
  for (long i = 0; i < blocks; ++i) {
    const std::uint64_t at = draws.first + first / 4 + static_cast<std::uint64_t>(i);
    c0[i] = static_cast<std::uint32_t>(at);
    c1[i] = static_cast<std::uint32_t>(at >> 32);
  }
  std::uint32_t k0 = static_cast<std::uint32_t>(draws.key), k1 = static_cast<std::uint32_t>(draws.key >> 32);
  for (int round = 0; round < 10; ++round) {
    for (long i = 0; i < blocks; ++i) {
      const std::uint64_t p0 = std::uint64_t(0xD2511F53u) * c0[i], p1 = std::uint64_t(0xCD9E8D57u) * c2[i];
      c0[i] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      c1[i] = static_cast<std::uint32_t>(p1);
      c2[i] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c3[i] = static_cast<std::uint32_t>(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (long i = 0; i < blocks; ++i) {
    uniform[4 * i] = static_cast<float>(static_cast<std::int32_t>(c0[i] >> 8)) * 0x1p-24f;
    uniform[4 * i + 1] = static_cast<float>(static_cast<std::int32_t>(c1[i] >> 8)) * 0x1p-24f;
    uniform[4 * i + 2] = static_cast<float>(static_cast<std::int32_t>(c2[i] >> 8)) * 0x1p-24f;
    uniform[4 * i + 3] = static_cast<float>(static_cast<std::int32_t>(c3[i] >> 8)) * 0x1p-24f;
  }
}

void dropout(const Cpu& cpu, Draws draws, float rate, View<const float, 1> x, float scale, float* y, bool add) {
  const long size = x.size();
  parallel_for(cpu.threads, blocks_of(size, elements_per_block), [&](long block) {
    const long end = (block + 1) * elements_per_block < size ? (block + 1) * elements_per_block : size;
    for (long begin = block * elements_per_block; begin < end; begin += draws_at_once) {
      alignas(64) float uniform[draws_at_once];
      uniform_draws(draws, static_cast<std::uint64_t>(begin), uniform);
      along(end - begin < draws_at_once ? end - begin : draws_at_once, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        const Vec kept = load(x.data + begin + i, n) * Vec(scale);
        put(y + begin + i, select(Vec::load(uniform + i) < Vec(rate), Vec(0.0f), kept), add, n);
      });
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/dropout.hpp"
#endif

PHONAUT_DISPATCH(dropout,
                 (const Cpu& cpu, Draws draws, float rate, View<const float, 1> x, float scale, float* y, bool add),
                 (cpu, draws, rate, x, scale, y, add))
