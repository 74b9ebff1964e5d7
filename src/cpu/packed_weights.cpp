#include "phonaut/core/packed_weights.hpp"

#include <bit>
#include <cstring>

#include "kernels/cpu/packed_matrix.hpp"

namespace phonaut {

std::uint16_t to_bf16(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);  // quiet: the low digits may have said NaN alone
  if ((bits & 0x7f800000u) == 0) return static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

void PackedWeights::add(const float* data, long rows, long k) {
  if (!can_run(Bf16Unit::avx512) || find(data)) return;
  constexpr long block = kernel::packed_block, numbers_per_place = 2, cache_sets = 1024;  // floats of 4 KiB
  long row = (k + block - 1) / block * block / numbers_per_place;
  // Rows that are whole pages apart would share the sets of a cache.
  if (row % cache_sets == 0) row += block / numbers_per_place;
  const auto bytes = static_cast<std::size_t>((rows + kernel::packed_rows_behind) * row) * sizeof(float);
  Matrix m{rows, k, row, Storage<HostMemory>::persistent(bytes)};
  std::memset(m.words.data(), 0, bytes);
  for (long i = 0; i < rows; ++i) {
    auto* to = static_cast<std::uint16_t*>(m.words.data()) + i * row * numbers_per_place;
    for (long p = 0; p < k; ++p) to[p] = to_bf16(data[i * k + p]);
  }
  matrices_.emplace(data, std::move(m));
  bytes_ += bytes;
}

const PackedWeights::Matrix* PackedWeights::find(const float* data) const noexcept {
  const auto found = matrices_.find(data);
  return found == matrices_.end() ? nullptr : &found->second;
}

namespace kernel {

PackedMatrix find_packed(const PackedWeights* weights, const float* data, long rows, long k) noexcept {
  const PackedWeights::Matrix* m = weights ? weights->find(data) : nullptr;
  if (!m || m->rows != rows || m->k != k) return {};
  return {static_cast<const float*>(m->words.data()), m->row};
}

}  // namespace kernel
}  // namespace phonaut
