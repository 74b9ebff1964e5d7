#pragma once
// The norm of all gradients together, and clipping by it.
#include <cmath>
#include <utility>
#include <vector>

#include "phonaut/core/param.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/training/formula/square_sum.hpp"
#include "phonaut/training/parameters.hpp"

namespace phonaut {

/// What clipping found.
struct Clipping {
  double norm = 0;         ///< of all gradients together; not finite if one of their elements is not
  double coefficient = 1;  ///< what to multiply the gradients with: min(1, most / (norm + 1e-6))
  bool finite() const { return std::isfinite(norm); }
};

/// Global-norm clipping (Pascanu et al., "On the difficulty of training recurrent neural networks", 2013). The sum runs
/// in double over blocks of fixed size: its bits do not depend on the number of threads.
template <class B>
class GradientClip {
 public:
  using S = typename B::Scalar;
  enum class Norm { euclidean, largest };
  struct Config {
    double most = 1;  ///< greatest norm; infinity measures without clipping
    Norm norm = Norm::euclidean;
    ParameterFilter counts = {};  ///< which parameters; empty: all
  };

  /// Throws ConfigError unless `most` is positive.
  template <class Model>
  GradientClip(const Model& model, Config config)
      : config_(std::move(config)), parameters_(flat_parameters<B>(model, config_.counts)) {
    if (!(config_.most > 0)) throw ConfigError(concat("clip: the greatest norm must be positive, got ", config_.most));
    size_t blocks = 0;
    for (const auto& p : parameters_)
      blocks += static_cast<size_t>((p.flat.size() + kernel::elements_per_piece - 1) / kernel::elements_per_piece);
    stretches_.reserve(blocks);
    host_totals_.resize(blocks);
    totals_ = Tensor<B, 1, double>::persistent({static_cast<long>(blocks)});
  }

  /// The norm of `scale` times the gradients, and the coefficient that would clip them. Changes nothing.
  Clipping measure(const B& backend, const Gradients<B>& gradients, double scale = 1) {
    Clipping found;
    found.norm = std::fabs(scale) *
                 (config_.norm == Norm::largest ? largest(backend, gradients) : euclidean(backend, gradients));
    // Added to the norm, as PyTorch does, so that the clipped norm stays just below the limit.
    found.coefficient = std::isfinite(config_.most) ? std::min(1.0, config_.most / (found.norm + 1e-6)) : 1.0;
    return found;
  }
  /// The parameters that count, in the order of their visit.
  const std::vector<FlatParameter<B>>& parameters() const { return parameters_; }
  /// Measures, then multiplies the gradients with the coefficient; gradients that are not finite are left alone.
  Clipping clip(const B& backend, const Gradients<B>& gradients) {
    const Clipping found = measure(backend, gradients);
    if (!found.finite() || found.coefficient == 1) return found;
    for (const auto& p : parameters_) {
      if (!gradients.has(p.flat)) continue;
      const auto g = gradients[p.flat];
      kernel::scale(backend, S(found.coefficient), g.in(), g.data(), false);
    }
    return found;
  }

 private:
  double euclidean(const B& backend, const Gradients<B>& gradients) {
    stretches_.clear();
    for (const auto& p : parameters_) {
      if (!gradients.has(p.flat)) continue;
      const S* const g = gradients[p.flat].data();
      for (long first = 0; first < p.flat.size(); first += kernel::elements_per_piece)
        stretches_.push_back({g + first, std::min(kernel::elements_per_piece, p.flat.size() - first)});
    }
    square_sums(backend, View<const kernel::Stretch<S>, 1>(stretches_.data(), {static_cast<long>(stretches_.size())}),
                totals_.data());
    kernel::download(backend, host_totals_.data(), totals_.data(), stretches_.size() * sizeof(double));
    double total = 0;
    for (size_t k = 0; k < stretches_.size(); ++k) total += host_totals_[k];
    return std::sqrt(total);
  }
  double largest(const B& backend, const Gradients<B>& gradients) {
    double most = 0;
    for (const auto& p : parameters_) {
      if (!gradients.has(p.flat)) continue;
      host_.resize(static_cast<size_t>(p.flat.size()));
      kernel::download(backend, host_.data(), gradients[p.flat].data(), host_.size() * sizeof(S));
      for (const S g : host_) {
        const double size = std::fabs(static_cast<double>(g));
        if (std::isnan(size)) return size;
        most = std::max(most, size);
      }
    }
    return most;
  }

  Config config_;
  std::vector<FlatParameter<B>> parameters_;
  std::vector<kernel::Stretch<S>> stretches_;
  Tensor<B, 1, double> totals_;
  std::vector<double> host_totals_;
  std::vector<S> host_;
};

}  // namespace phonaut
