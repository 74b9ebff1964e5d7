#pragma once
// Losses that share a gradient by their weights, whatever their scales. A. Défossez et al., "High Fidelity Neural Audio
// Compression" (EnCodec), 2022, section 3.4.
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "phonaut/core/param.hpp"
#include "phonaut/ops/arithmetic.hpp"

namespace phonaut {

/// Rescales the gradients of several losses at the output of a model: loss i gets the share w_i / Σ w of a gradient of
/// norm `total`, measured by a moving average of its own norm.
///
///   LossBalancer<B, 2> balancer(ctx, {{"mel", 1}, {"adversarial", 3}});
///   const auto loss = balancer(decoded, {[&](const auto& y) { return mel_loss(y, target); }, …});
///
/// The losses are computed on the output in a context of the balancer's, so that the model is walked back through only
/// once. What else they compare with must come from `balancer.context()` or be weights.
template <class B, size_t R>
class LossBalancer {
 public:
  using Loss = std::function<Var<B, 0>(const Var<B, R>&)>;
  struct Part {
    std::string name;
    double weight = 1;
  };
  struct Config {
    double total = 1;
    double keep = 0.999;  ///< of the moving averages, which begin without a bias
    double epsilon = 1e-12;
  };

  /// Throws ConfigError without parts, or for a weight that is not positive.
  LossBalancer(Context<B>& ctx, std::vector<Part> parts, const Config& config)
      : parts_(std::move(parts)),
        config_(config),
        inner_(ctx.backend()),
        norms_(host_state(static_cast<long>(parts_.size()))),
        counts_(host_state(1)) {
    if (parts_.empty()) throw ConfigError("loss balancer: there are no losses");
    for (const Part& part : parts_)
      if (!(part.weight > 0))
        throw ConfigError(concat("loss balancer: the weight of ", part.name, " must be positive, got ", part.weight));
  }
  LossBalancer(Context<B>& ctx, std::vector<Part> parts) : LossBalancer(ctx, std::move(parts), Config{}) {}

  /// Where the losses are computed.
  Context<B>& context() { return inner_; }
  /// The losses of the last call, in the order of the parts.
  const std::vector<double>& values() const { return values_; }
  /// The norms of their gradients at the output.
  const std::vector<double>& gradient_norms() const { return norms_now_; }

  /// A scalar whose gradient at `output` is the balanced one; its value is the weighted mean of the losses. Throws
  /// ShapeError for another number of losses than parts.
  Var<B, 0> operator()(const Var<B, R>& output, const std::vector<Loss>& losses) {
    using S = typename B::Scalar;
    if (losses.size() != parts_.size())
      throw ShapeError(concat("loss balancer: there are ", parts_.size(), " parts, but ", losses.size(), " losses"));
    auto& ctx = output.context();
    inner_.join(ctx.batch_ranks());  // what the losses reduce, and the norms, are those of the whole batch
    inner_.train();
    double weights = 0, value = 0;
    for (const Part& part : parts_) weights += part.weight;
    values_.clear(), norms_now_.clear();
    double& steps = counts_.tensor().data()[0];
    steps = config_.keep * steps + 1;
    std::vector<S> total(static_cast<size_t>(output.size()), S(0));
    for (size_t i = 0; i < parts_.size(); ++i) {
      const Var<B, R> leaf = inner_.variable(ctx.clone(output.tensor()));
      const Var<B, 0> loss = losses[i](leaf);
      values_.push_back(static_cast<double>(item(loss)));
      value += parts_[i].weight / weights * values_.back();
      const Gradients<B> gradients = inner_.backward(loss);
      std::vector<S> g(total.size(), S(0));
      if (gradients.has(leaf)) g = values_of(inner_, gradients[leaf]);
      double square = 0;
      for (const S v : g) square += static_cast<double>(v) * static_cast<double>(v);
      norms_now_.push_back(std::sqrt(ctx.batch_ranks().all_reduce(square)));
      double& sum = norms_.tensor().data()[i];
      sum = config_.keep * sum + norms_now_.back();
      const double scale = config_.total * parts_[i].weight / weights / (config_.epsilon + sum / steps);
      for (size_t k = 0; k < g.size(); ++k) total[k] += static_cast<S>(scale) * g[k];
    }
    // Σ g · y has the gradient g at y; what it lacks to the value of the losses is a constant.
    const Var<B, 0> pull = sum(input(ctx, output.shape(), total) * output);
    const double missing = value - static_cast<double>(item(pull));
    return pull + input(ctx, Shape<0>{}, std::vector<double>{missing});
  }

  static void visit(auto& self, auto&& f) {
    f("norms", self.norms_);
    f("steps", self.counts_);
  }

 private:
  static State<Reference, 1, double> host_state(long n) {
    Context<Reference> host;
    return make_state<double>(host, Shape<1>{n}, Init::constant(0));
  }

  std::vector<Part> parts_;
  Config config_;
  Context<B> inner_;
  State<Reference, 1, double> norms_, counts_;  // on the host, whatever computes
  std::vector<double> values_, norms_now_;
};

}  // namespace phonaut
