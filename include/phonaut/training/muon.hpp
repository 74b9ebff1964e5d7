#pragma once
// Muon: momentum whose update is made orthogonal. For the matrices of hidden layers.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/gemm.hpp"
#include "phonaut/ops/scale_by.hpp"
#include "phonaut/training/formula/square_sum.hpp"
#include "phonaut/training/parameters.hpp"

namespace phonaut {

namespace kernel {

/// *y = 1 / max(√*square, least).
template <class S>
void inverse_norm(const Reference&, const double* square, double least, S* y) {
  *y = S(1 / std::max(std::sqrt(*square), least));
}
void inverse_norm(const Cuda& cuda, const double* square, double least, float* y);

}  // namespace kernel

/// Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024): the momentum buffer's
/// singular values are pushed towards 1 by quintic Newton-Schulz steps, so that every direction learns equally fast.
/// Trains parameters of rank 2 only, and wants the rest (vectors, embeddings, the last layer) to be left to AdamW: see
/// OptimiserPair.
template <class B>
class Muon {
 public:
  enum class Ratio {
    original,  ///< learning rate × √max(1, rows / columns)
    match_rms  ///< × 0.2 √max(rows, columns): the size of AdamW's updates, so that its learning rates serve
  };
  struct Config {
    double momentum = 0.95;
    bool nesterov = true;
    double weight_decay = 0.1;
    int iterations = 5;
    std::array<double, 3> coefficients = {3.4445, -4.7750, 2.0315};
    Ratio ratio = Ratio::original;
    ParameterFilter trains = decays_by_default;  ///< which of the parameters of rank 2
  };
  using S = typename B::Scalar;
  struct Slot {
    FlatParameter<B> parameter;
    Tensor<B, 1> buffer;
  };

  /// Throws ConfigError for a momentum outside of [0, 1), a negative decay or no iterations.
  template <class Model>
  Muon(const B& backend, const Model& model, Config config = {}) : config_(std::move(config)) {
    if (!(config_.momentum >= 0 && config_.momentum < 1 && config_.weight_decay >= 0 && config_.iterations > 0))
      throw ConfigError(
          concat("muon: momentum must be in [0, 1), weight_decay not negative and iterations positive, got ",
                 config_.momentum, ", ", config_.weight_decay, " and ", config_.iterations));
    long most = 0, side = 0;
    auto parameters = flat_parameters<B>(model, [this](const std::string& name, size_t rank) {
      return rank == 2 && (!config_.trains || config_.trains(name, rank));
    });
    for (auto& p : parameters) {
      most = std::max(most, p.flat.size());
      side = std::max(side, std::min(p.extents[0], p.extents[1]));
      auto buffer = Tensor<B, 1>::persistent({p.flat.size()});
      kernel::fill(backend, buffer.data(), buffer.size(), S(0));
      slots_.push_back({std::move(p), std::move(buffer)});
    }
    update_ = Tensor<B, 1>::persistent({most});
    product_ = Tensor<B, 1>::persistent({most});
    gram_ = Tensor<B, 1>::persistent({side * side});
    square_ = Tensor<B, 1>::persistent({side * side});
    norm_ = Tensor<B, 1, double>::persistent({1});
    inverse_ = Tensor<B, 1>::persistent({1});
  }

  /// One update with learning rate `rate` and gradients times `scale`. Parameters without a gradient stay as they are.
  void step(const B& backend, const Gradients<B>& gradients, double rate, double scale = 1) {
    for (Slot& slot : slots_) {
      if (!gradients.has(slot.parameter.flat)) continue;
      const auto g = gradients[slot.parameter.flat].in();
      const long rows = slot.parameter.extents[0], columns = slot.parameter.extents[1];
      const double rest = (1 - config_.momentum) * scale;
      S* const buffer = slot.buffer.data();
      kernel::axpby(backend, S(config_.momentum), slot.buffer.in(), S(rest), g, buffer, false);
      if (config_.nesterov)
        kernel::axpby(backend, S(rest), g, S(config_.momentum), slot.buffer.in(), update_.data(), false);
      else kernel::scale(backend, S(1), slot.buffer.in(), update_.data(), false);
      orthogonalise(backend, update_.data(), rows, columns);
      const double longer = static_cast<double>(std::max(rows, columns));
      const double ratio = config_.ratio == Ratio::match_rms
                               ? 0.2 * std::sqrt(longer)
                               : std::sqrt(std::max(1.0, static_cast<double>(rows) / static_cast<double>(columns)));
      S* const p = slot.parameter.flat.tensor().data();
      kernel::axpby(backend, S(1 - rate * config_.weight_decay), slot.parameter.flat.in(), S(-rate * ratio),
                    View<const S, 1>(update_.data(), {rows * columns}), p, false);
    }
  }

  /// Replaces the matrix x (rows, columns) by a x + b (x xᵀ) x + c (x xᵀ)² x, iterated, from x / ‖x‖.
  void orthogonalise(const B& any, S* x, long rows, long columns) {
    const B backend = full_precision(any);
    const kernel::Stretch<S> all{x, rows * columns};
    square_sums(backend, View<const kernel::Stretch<S>, 1>(&all, {1}), norm_.data());
    kernel::inverse_norm(backend, static_cast<const double*>(norm_.data()), 1e-7, inverse_.data());
    const View<const S, 1> in(x, {rows * columns});
    kernel::scale_by(backend, static_cast<const S*>(inverse_.data()), in, x, false);

    // For a tall matrix the polynomial is taken of xᵀ: the product x (xᵀ x) is the transpose of (xᵀ x) xᵀ.
    const bool tall = rows > columns;
    const long side = std::min(rows, columns), length = std::max(rows, columns);
    const auto [a, b, c] = config_.coefficients;
    const View<const S, 1> gram(gram_.data(), {side * side}), square(square_.data(), {side * side});
    for (int i = 0; i < config_.iterations; ++i) {
      gemm(backend, kernel::Gemm<S>{.m = side,
                                    .n = side,
                                    .k = length,
                                    .a = x,
                                    .a_row = tall ? 1 : columns,
                                    .a_col = tall ? columns : 1,
                                    .b = x,
                                    .b_row = tall ? columns : 1,
                                    .b_col = tall ? 1 : columns,
                                    .c = gram_.data(),
                                    .c_row = side});
      gemm(backend, kernel::Gemm<S>{.m = side,
                                    .n = side,
                                    .k = side,
                                    .a = gram_.data(),
                                    .a_row = side,
                                    .b = gram_.data(),
                                    .b_row = side,
                                    .b_col = 1,
                                    .c = square_.data(),
                                    .c_row = side});
      kernel::axpby(backend, S(b), gram, S(c), square, gram_.data(), false);
      gemm(backend, kernel::Gemm<S>{.m = rows,
                                    .n = columns,
                                    .k = side,
                                    .a = tall ? x : gram_.data(),
                                    .a_row = tall ? columns : side,
                                    .b = tall ? gram_.data() : x,
                                    .b_row = tall ? side : columns,
                                    .b_col = 1,
                                    .c = product_.data(),
                                    .c_row = columns});
      kernel::axpby(backend, S(a), in, S(1), View<const S, 1>(product_.data(), {rows * columns}), x, false);
    }
  }

  const std::vector<Slot>& slots() const { return slots_; }

  template <class Archive>
  static void checkpoint(auto& self, Archive& archive) {
    for (auto& slot : self.slots_) archive.tensor("buffer/" + slot.parameter.name, slot.parameter.extents, slot.buffer);
  }

 private:
  Config config_;
  std::vector<Slot> slots_;
  Tensor<B, 1> update_, product_, gram_, square_;  // scratch, as large as the largest parameter needs
  Tensor<B, 1, double> norm_;
  Tensor<B, 1> inverse_;
};

/// Two optimisers that share the parameters of a model between them, such as Muon for matrices and AdamW for the rest.
/// The second one's learning rate is `second_rate` times that of the first.
template <class First, class Second>
class OptimiserPair {
 public:
  OptimiserPair(First first, Second second, double second_rate = 1)
      : first_(std::move(first)), second_(std::move(second)), second_rate_(second_rate) {}

  template <class B>
  void step(const B& backend, const Gradients<B>& gradients, double rate, double scale = 1) {
    first_.step(backend, gradients, rate, scale);
    second_.step(backend, gradients, second_rate_ * rate, scale);
  }

  template <class Archive>
  static void checkpoint(auto& self, Archive& archive) {
    archive("first", self.first_);
    archive("second", self.second_);
  }

 private:
  First first_;
  Second second_;
  double second_rate_;
};

}  // namespace phonaut
