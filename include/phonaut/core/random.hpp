#pragma once
// Counter-based random numbers: the n-th draw is a function of (key, n), so it does not matter which thread, or which
// device, computes it. Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#include <cmath>
#include <cstdint>

#include "phonaut/core/view.hpp"

namespace phonaut {

/// A stream of draws. Plain data: kernels take it by value.
struct Draws {
  std::uint64_t key = 0;
  std::uint64_t first = 0;  ///< index of this stream's first block of four draws

  struct Block {
    std::uint32_t word[4];
  };

  /// Four 32-bit words of block `n`.
  PHONAUT_HD PHONAUT_INLINE Block block(std::uint64_t n) const {
    const std::uint64_t at = first + n;
    std::uint32_t c0 = static_cast<std::uint32_t>(at), c1 = static_cast<std::uint32_t>(at >> 32), c2 = 0, c3 = 0;
    std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t(0xD2511F53u) * c0, p1 = std::uint64_t(0xCD9E8D57u) * c2;
      c0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
      c1 = static_cast<std::uint32_t>(p1);
      c2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c3 = static_cast<std::uint32_t>(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
  }
  /// Draw `i`, uniform in [0, 1) with 24 bits.
  PHONAUT_HD PHONAUT_INLINE float uniform(long i) const {
    return static_cast<float>(block(static_cast<std::uint64_t>(i) / 4).word[i % 4] >> 8) * 0x1p-24f;
  }
  /// Draw `i` from N(0, 1), by Box-Muller over two words of the same block.
  PHONAUT_HD PHONAUT_INLINE double normal(long i) const {
    const Block b = block(static_cast<std::uint64_t>(i) / 4);
    const int pair = (i % 4) / 2 * 2;
    const double u = (b.word[pair] + 0.5) * 0x1p-32, v = b.word[pair + 1] * 0x1p-32;
    const double radius = std::sqrt(-2.0 * std::log(u)), angle = 6.283185307179586476925 * v;
    return i % 2 == 0 ? radius * std::cos(angle) : radius * std::sin(angle);
  }
  /// Draw `i`, uniform over the integers 0 … n-1 (n < 2^32; the bias is below n / 2^32).
  PHONAUT_HD PHONAUT_INLINE long below(long n, long i) const {
    const std::uint64_t word = block(static_cast<std::uint64_t>(i) / 4).word[i % 4];
    return static_cast<long>((word * static_cast<std::uint64_t>(n)) >> 32);
  }
};

/// Hands out disjoint streams of draws. Seed and count are its whole state, so a checkpoint can hold it; `stream` tells
/// apart those who share a seed, such as ranks that train one model together.
struct Random {
  std::uint64_t seed = 0;
  std::uint64_t used = 0;  ///< blocks of four handed out so far
  std::uint64_t stream = 0;

  /// The next `n` draws.
  Draws take(long n) {
    Draws d{mixed(seed, stream), used};
    used += (static_cast<std::uint64_t>(n) + 3) / 4;
    return d;
  }
  /// Draws that depend on (seed, step, purpose) alone: equal on every rank and after a restart in mid-epoch.
  Draws at_step(long step, std::uint64_t purpose) const {
    return {mixed(seed, mixed(purpose + 1, static_cast<std::uint64_t>(step))), 0};
  }

 private:
  static std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
    std::uint64_t z = a + 0x9E3779B97F4A7C15ull * (b + 1);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
};

}  // namespace phonaut
