#pragma once
// The weights of a model in the order of products, as floats, bfloat16 or bytes, for inference.
#include <cstdint>
#include <type_traits>
#include <unordered_map>

#include "phonaut/core/backend.hpp"
#include "phonaut/core/storage.hpp"
#include "phonaut/core/visit.hpp"

namespace phonaut {

/// The matrices of a model, rounded once. Products in bf16 round both of their sides; for a few frames, those of a
/// stream, the weights' side takes most of the time. A context that knows this object finds that side done:
///
///     const PackedWeights packed(model);
///     ctx.precision(Precision::bf16);
///     ctx.packed(&packed);
///
/// The numbers are the same, bit for bit. It takes half of the weights' memory beside them. On processors without
/// instructions for bf16 it holds nothing and changes nothing.
///
/// In fp32, where products of many frames spend a few hundredths of their time on putting weights in order, they find
/// that done too (PackedWeights(model, Precision::fp32), as large as the weights): again the same bits.
///
/// As bytes, weights are a quarter as large, and products a good deal faster and less exact (docs/precision.md):
///
///     const PackedWeights packed(model, Precision::int8);
///     ctx.precision(Precision::int8);
///     ctx.packed(&packed);
///
/// w[i, p] ≈ scale[i] q[i, p], with q in [-127, 127] and scale[i] = max_p |w[i, p]| / 127: symmetric, one scale for
/// each output. A product scales each row of its other side the same way while it runs ("dynamic quantization"). A row
/// with a number that is not finite makes products with it NaN. Rows of more than 65536 numbers stay floats.
///
/// Weights must neither change nor go while a context uses it; many contexts, on many threads, may share one. Filters
/// count where a convolution is a product with all of them; weights that a layer makes of others (weight normalisation)
/// do not. In other precisions it changes nothing.
class PackedWeights {
 public:
  /// For contexts of that precision and, in fp32, of that instruction set. Throws ConfigError for tf32.
  template <class Model>
  explicit PackedWeights(const Model& model, Precision precision = Precision::bf16, Isa isa = best_isa())
      : precision_(precision), isa_(isa) {
    check();
    for_each_weight(model, [this](const std::string&, const auto& w) {
      using Data = std::remove_cvref_t<decltype(*w.tensor().data())>;
      if constexpr (std::is_same_v<Data, float> && std::remove_cvref_t<decltype(w)>::rank >= 2)
        if (w.size() > 0 && w.tensor().contiguous()) add(w.tensor().data(), w.shape()[0], w.size() / w.shape()[0]);
    });
  }
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  Precision precision() const noexcept { return precision_; }
  Isa isa() const noexcept { return isa_; }
  std::size_t count() const noexcept { return precision_ == Precision::int8 ? bytes_of_.size() : matrices_.size(); }
  std::size_t bytes() const noexcept { return bytes_; }

  /// Rows of bfloat16, or slivers of floats.
  struct Matrix {
    long rows, k;
    long row;  ///< from one row of bfloat16 to the next, in floats
    Storage<HostMemory> words;
  };
  /// Bytes in the order in which products read them (kernels/cpu/packed_matrix.hpp).
  struct ByteMatrix {
    long rows = 0, k = 0;
    Storage<HostMemory> quads, scale, shift;
  };
  /// The packed form of the numbers at `data`, or null.
  const Matrix* find(const float* data) const noexcept;
  const ByteMatrix* find_bytes(const float* data) const noexcept;

 private:
  void check() const;
  void add(const float* data, long rows, long k);
  void add_slivers(const float* data, long rows, long k);
  void add_bf16(const float* data, long rows, long k);
  void add_bytes(const float* data, long rows, long k);

  Precision precision_;
  Isa isa_;
  std::unordered_map<const float*, Matrix> matrices_;
  std::unordered_map<const float*, ByteMatrix> bytes_of_;
  std::size_t bytes_ = 0;
};

/// The nearest bfloat16, ties to even, as products in bf16 round: subnormal numbers become zero, a NaN stays one.
std::uint16_t to_bf16(float x) noexcept;

}  // namespace phonaut
