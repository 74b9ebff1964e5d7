#include <cstdint>

#include "parallel.hpp"
#include "partial.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

/// The low `bits` bits of each lane, in reverse order.
PHONAUT_INLINE Ints reversed(Ints v, long bits) {
  const auto swap = [](Ints x, int by, std::int32_t low)
                        PHONAUT_FORCE_INLINE { return ((x >> by) & Ints(low)) | ((x & Ints(low)) << by); };
  v = swap(v, 1, 0x55555555);
  v = swap(v, 2, 0x33333333);
  v = swap(v, 4, 0x0f0f0f0f);
  v = swap(v, 8, 0x00ff00ff);
  v = swap(v, 16, 0x0000ffff);
  return (v >> static_cast<int>(32 - bits)) & Ints(static_cast<std::int32_t>((1u << bits) - 1u));
}

/// Rows of `bits` channels, `registers` of them; codes of one register of rows at a time.
template <int registers>
void round_rows(float magnitude, View<const float, 2> x, View<float, 2> value, std::int32_t* index, long first,
                long last) {
  const long bits = x.shape[1], rest = bits - (registers - 1) * Vec::lanes;
  const Vec up(magnitude), down(-magnitude);
  for (long r = first; r < last; r += Vec::lanes) {
    alignas(64) std::int32_t word[Vec::lanes] = {};  // bit c is channel c
    const long rows = last - r < Vec::lanes ? last - r : Vec::lanes;
    for (long i = 0; i < rows; ++i) {
      const float* from = x.row(r + i);
      std::uint32_t own = 0;
#pragma GCC unroll 8
      for (int c = 0; c < registers; ++c) {
        const long n = c + 1 < registers ? Vec::lanes : rest;
        const Mask positive = Vec(0.0f) < load_some(from + c * Vec::lanes, n);
        own |= static_cast<std::uint32_t>(bits_of(positive)) << (c * Vec::lanes);
        if (value) store_some(select(positive, up, down), value.row(r + i) + c * Vec::lanes, n);
      }
      word[i] = static_cast<std::int32_t>(own);
    }
    const Vec codes = float_of_bits(reversed(Ints::load_aligned(word), bits));  // moved as they are
    store_some(codes, reinterpret_cast<float*>(index + r), rows);
  }
}

}  // namespace

void sign_round(const Cpu& cpu, float magnitude, View<const float, 2> x, View<float, 2> value, std::int32_t* index) {
  const long registers = blocks_of(x.shape[1], Vec::lanes);
  parallel_rows(cpu.threads, x.shape[0], x.shape[1], [&](long first, long last) {
    // A code has at most 30 channels.
    with_constant<32 / Vec::lanes>(registers, [&](auto n) { round_rows<n>(magnitude, x, value, index, first, last); });
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/quantizers/sign_codes.hpp"
#endif

PHONAUT_DISPATCH(sign_round,
                 (const Cpu& cpu, float magnitude, View<const float, 2> x, View<float, 2> value, std::int32_t* index),
                 (cpu, magnitude, x, value, index))
