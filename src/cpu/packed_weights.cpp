#include "phonaut/core/packed_weights.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/packed_matrix.hpp"
#include "phonaut/core/error.hpp"

namespace phonaut {

std::uint16_t to_bf16(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);  // quiet: the low digits may have said NaN alone
  if ((bits & 0x7f800000u) == 0) return static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

void PackedWeights::check() const {
  if (precision_ == Precision::tf32)
    throw ConfigError(concat("packed weights: ", name_of(precision_),
                             " was asked for, but weights are packed for fp32, bf16 or int8"));
}

void PackedWeights::add(const float* data, long rows, long k) {
  if (precision_ == Precision::int8) add_bytes(data, rows, k);
  else if (precision_ == Precision::fp32) add_slivers(data, rows, k);
  else add_bf16(data, rows, k);
}

void PackedWeights::add_slivers(const float* data, long rows, long k) {
  if (find(data)) return;
  const auto bytes = static_cast<std::size_t>(kernel::sliver_floats(rows, k)) * sizeof(float);
  Matrix m{rows, k, 0, Storage<HostMemory>::persistent(bytes)};
  Cpu cpu;
  cpu.isa = isa_;
  kernel::pack_slivers(cpu, data, rows, k, static_cast<float*>(m.words.data()));
  matrices_.emplace(data, std::move(m));
  bytes_ += bytes;
}

void PackedWeights::add_bf16(const float* data, long rows, long k) {
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

void PackedWeights::add_bytes(const float* data, long rows, long k) {
  constexpr long most_k = 65536;  // 255 x 127 x 65536 is the largest sum that 32 bits hold
  if (k > most_k || find_bytes(data)) return;
  const long quads = kernel::PackedBytes::quads_of(k), padded = kernel::PackedBytes::padded(rows);
  const auto clear = [this](Storage<HostMemory>& memory, std::size_t bytes) {
    memory = Storage<HostMemory>::persistent(bytes);
    std::memset(memory.data(), 0, bytes);
    bytes_ += bytes;
  };
  const auto places = static_cast<std::size_t>(padded);
  ByteMatrix& m = bytes_of_[data];
  m.rows = rows;
  m.k = k;
  clear(m.quads, places * static_cast<std::size_t>(quads * kernel::quad));
  clear(m.scale, places * sizeof(float));
  clear(m.shift, places * sizeof(std::int32_t));
  auto* const bytes = static_cast<std::int8_t*>(m.quads.data());
  for (long i = 0; i < rows; ++i) {
    const float* row = data + i * k;
    float largest = 0, none = 0;
    for (long p = 0; p < k; ++p) {
      largest = std::max(largest, std::fabs(row[p]));
      none += 0 * row[p];  // NaN if one of them is not finite
    }
    static_cast<float*>(m.scale.data())[i] = largest / 127 + none;
    if (largest == 0 || none != 0) continue;
    std::int32_t sum = 0;
    auto* const to =
        bytes + (i / kernel::byte_columns * quads * kernel::byte_columns + i % kernel::byte_columns) * kernel::quad;
    for (long p = 0; p < k; ++p) {
      const auto q =
          static_cast<std::int8_t>(std::lrint(127 / static_cast<double>(largest) * static_cast<double>(row[p])));
      to[p / kernel::quad * kernel::byte_columns * kernel::quad + p % kernel::quad] = q;
      sum += q;
    }
    static_cast<std::int32_t*>(m.shift.data())[i] = -128 * sum;
  }
}

const PackedWeights::Matrix* PackedWeights::find(const float* data) const noexcept {
  const auto found = matrices_.find(data);
  return found == matrices_.end() ? nullptr : &found->second;
}

const PackedWeights::ByteMatrix* PackedWeights::find_bytes(const float* data) const noexcept {
  const auto found = bytes_of_.find(data);
  return found == bytes_of_.end() ? nullptr : &found->second;
}

namespace kernel {

long sliver_floats(long rows, long k) noexcept {
  constexpr long widest = 16;  // registers of AVX-512; rows are padded to whole registers
  return (rows + widest - 1) / widest * widest * k;
}

const float* find_slivers(const PackedWeights* weights, const float* data, long rows, long k, Isa isa) noexcept {
  if (!weights || weights->precision() != Precision::fp32 || weights->isa() != isa) return nullptr;
  const PackedWeights::Matrix* m = weights->find(data);
  return m && m->rows == rows && m->k == k ? static_cast<const float*>(m->words.data()) : nullptr;
}

PackedMatrix find_packed(const PackedWeights* weights, const float* data, long rows, long k) noexcept {
  const PackedWeights::Matrix* m = weights && weights->precision() == Precision::bf16 ? weights->find(data) : nullptr;
  if (!m || m->rows != rows || m->k != k) return {};
  return {static_cast<const float*>(m->words.data()), m->row};
}

PackedBytes find_bytes(const PackedWeights* weights, const float* data, long rows, long k) noexcept {
  const PackedWeights::ByteMatrix* m = weights ? weights->find_bytes(data) : nullptr;
  if (!m || m->rows != rows || m->k != k) return {};
  return {static_cast<const std::int8_t*>(m->quads.data()), static_cast<const float*>(m->scale.data()),
          static_cast<const std::int32_t*>(m->shift.data())};
}

}  // namespace kernel
}  // namespace phonaut
