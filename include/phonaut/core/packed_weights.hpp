#pragma once
// The weights of a model as bfloat16, for inference.
#include <cstdint>
#include <type_traits>
#include <unordered_map>

#include "phonaut/core/backend.hpp"
#include "phonaut/core/storage.hpp"
#include "phonaut/core/visit.hpp"

namespace phonaut {

/// The matrices of a model, rounded to bfloat16 once. Products in bf16 round both of their sides; for a few frames,
/// those of a stream, the weights' side takes most of the time. A context that knows this object finds that side done:
///
///     const PackedWeights packed(model);
///     ctx.precision(Precision::bf16);
///     ctx.packed(&packed);
///
/// The numbers are the same, bit for bit. It takes half of the weights' memory beside them. Weights must neither change
/// nor go while a context uses it; many contexts, on many threads, may share one. Filters count where a convolution is
/// a product with all of them; weights that a layer makes of others (weight normalisation) do not. On processors
/// without instructions for bf16, and in fp32, it holds nothing and changes nothing.
class PackedWeights {
 public:
  template <class Model>
  explicit PackedWeights(const Model& model) {
    for_each_weight(model, [this](const std::string&, const auto& w) {
      using Data = std::remove_cvref_t<decltype(*w.tensor().data())>;
      if constexpr (std::is_same_v<Data, float> && std::remove_cvref_t<decltype(w)>::rank >= 2)
        if (w.size() > 0 && w.tensor().contiguous()) add(w.tensor().data(), w.shape()[0], w.size() / w.shape()[0]);
    });
  }
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  struct Matrix {
    long rows, k;
    long row;  ///< from one row to the next, in floats
    Storage<HostMemory> words;
  };
  /// The packed form of the numbers at `data`, or null.
  const Matrix* find(const float* data) const noexcept;
  std::size_t count() const noexcept { return matrices_.size(); }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  void add(const float* data, long rows, long k);

  std::unordered_map<const float*, Matrix> matrices_;
  std::size_t bytes_ = 0;
};

/// The nearest bfloat16, ties to even, as products in bf16 round: subnormal numbers become zero, a NaN stays one.
std::uint16_t to_bf16(float x) noexcept;

}  // namespace phonaut
