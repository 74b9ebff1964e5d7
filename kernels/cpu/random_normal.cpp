#include "phonaut/core/random.hpp"

#include "parallel.hpp"
#include "simd_math.hpp"

// Philox in integers, then Box-Muller in registers: two normals for each pair of words (u, v) of a block,
// sqrt(-2 log u) cos(2πv) and sqrt(-2 log u) sin(2πv), as Draws::normal has it in double.

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

constexpr long pairs_per_run = 64;

struct Pairs {
  alignas(64) float below[pairs_per_run];  ///< u
  alignas(64) float above[pairs_per_run];  ///< 1 - u, kept apart because a float near 1 has no room for it
  alignas(64) float turn[pairs_per_run];   ///< v in [-1/2, 1/2): the same angle, with a smaller error
};

PHONAUT_INLINE void draw(const Draws& draws, long first_pair, Pairs& pairs) {
  for (long i = 0; i < pairs_per_run; i += 2) {
    const Draws::Block block = draws.block(static_cast<std::uint64_t>((first_pair + i) / 2));
    for (long j = 0; j < 2; ++j) {
      const std::uint32_t u = block.word[2 * j];
      pairs.below[i + j] = (static_cast<float>(u) + 0.5f) * 0x1p-32f;
      pairs.above[i + j] = (static_cast<float>(~u) + 0.5f) * 0x1p-32f;
      pairs.turn[i + j] = static_cast<float>(static_cast<std::int32_t>(block.word[2 * j + 1])) * 0x1p-32f;
    }
  }
}

void random_normal(const Cpu& cpu, Draws draws, long n, float* y) {
  const long run = 2 * pairs_per_run;
  parallel_for(cpu.threads, blocks_of(n, run), [&](long block) {
    Pairs pairs;
    draw(draws, block * pairs_per_run, pairs);
    alignas(64) float normal[2 * pairs_per_run];
    for (long i = 0; i < pairs_per_run; i += Vec::lanes) {
      const Vec below = Vec::load(pairs.below + i);
      const Vec logarithm = select(below < Vec(0.5f), log(below), log1p(-Vec::load(pairs.above + i)));
      const Vec radius = sqrt(Vec(-2.0f) * logarithm);
      const SinCos z = sincos(Vec(6.28318531f) * Vec::load(pairs.turn + i));
      alignas(64) float even[Vec::lanes], odd[Vec::lanes];
      (radius * z.cos).store(even), (radius * z.sin).store(odd);
      for (long j = 0; j < Vec::lanes; ++j) normal[2 * (i + j)] = even[j], normal[2 * (i + j) + 1] = odd[j];
    }
    const long begin = block * run, count = n - begin < run ? n - begin : run;
    for (long i = 0; i < count; ++i) y[begin + i] = normal[i];
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/random_normal.hpp"
#endif

PHONAUT_DISPATCH(random_normal, (const Cpu& cpu, Draws draws, long n, float* y), (cpu, draws, n, y))
