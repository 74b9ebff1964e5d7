#include <cstdint>

#include "parallel.hpp"
#include "partial.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

/// The bits in reverse order.
PHONAUT_INLINE std::uint32_t reversed(std::uint32_t v) {
  v = (v >> 1 & 0x55555555u) | (v & 0x55555555u) << 1;
  v = (v >> 2 & 0x33333333u) | (v & 0x33333333u) << 2;
  v = (v >> 4 & 0x0f0f0f0fu) | (v & 0x0f0f0f0fu) << 4;
  return __builtin_bswap32(v);
}

}  // namespace

void sign_round(const Cpu& cpu, float magnitude, View<const float, 2> x, View<float, 2> value, std::int32_t* index) {
  const long bits = x.shape[1];
  const Vec up(magnitude), down(-magnitude);
  parallel_rows(cpu.threads, x.shape[0], bits, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float* from = x.row(r);
      std::uint32_t word = 0;  // bit c is channel c
      each_register(bits, [&](long c, long n) PHONAUT_FORCE_INLINE {
        const Mask positive = Vec(0.0f) < load_some(from + c, n);
        word |= static_cast<std::uint32_t>(bits_of(positive)) << c;
        if (value) store_some(select(positive, up, down), value.row(r) + c, n);
      });
      index[r] = static_cast<std::int32_t>(reversed(word) >> (32 - bits));
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/quantizers/sign_codes.hpp"
#endif

PHONAUT_DISPATCH(sign_round,
                 (const Cpu& cpu, float magnitude, View<const float, 2> x, View<float, 2> value, std::int32_t* index),
                 (cpu, magnitude, x, value, index))
