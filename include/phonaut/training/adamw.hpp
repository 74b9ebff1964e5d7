#pragma once
// Adam with decoupled weight decay, and with the older L2 penalty.
#include <cmath>

#include "phonaut/training/formula/adamw.hpp"
#include "phonaut/training/parameters.hpp"

namespace phonaut {

/// AdamW (Loshchilov and Hutter, 2019). Holds handles to the parameters, its two moments for each, and how often each
/// was updated. Reads `decays` for weight decay: see decays_by_default.
template <class B>
class AdamW {
 public:
  struct Config {
    double beta1 = 0.9, beta2 = 0.999;
    double epsilon = 1e-8;
    double weight_decay = 0.01;
    bool decoupled = true;  ///< false: `weight_decay · p` is added to the gradient instead (Adam with L2 penalty)
    ParameterFilter decays = decays_by_default;
    ParameterFilter trains = {};  ///< which parameters this optimiser is for; empty: all
  };

  /// Throws ConfigError for betas outside of [0, 1), a negative decay or an epsilon that is not positive.
  template <class Model>
  AdamW(const B& backend, const Model& model, Config config = {})
      : config_(std::move(config)), state_(backend, flat_parameters<B>(model, config_.trains), config_.decays) {
    if (!(config_.beta1 >= 0 && config_.beta1 < 1 && config_.beta2 >= 0 && config_.beta2 < 1))
      throw ConfigError(concat("adamw: betas must be in [0, 1), got ", config_.beta1, " and ", config_.beta2));
    if (!(config_.epsilon > 0 && config_.weight_decay >= 0))
      throw ConfigError(concat("adamw: epsilon must be positive and weight_decay not negative, got ", config_.epsilon,
                               " and ", config_.weight_decay));
  }

  /// One update with learning rate `rate` and gradients times `scale`. Parameters without a gradient stay as they are.
  void step(const B& backend, const Gradients<B>& gradients, double rate, double scale = 1) {
    state_.apply(backend, gradients, [&](const auto& slot) {
      using S = typename B::Scalar;
      const double t = static_cast<double>(slot.steps), decay = slot.decays ? config_.weight_decay : 0;
      return kernel::AdamwRule<S>{.scale = S(scale),
                                  .penalty = S(config_.decoupled ? 0 : decay),
                                  .rest1 = S(1 - config_.beta1),
                                  .rest2 = S(1 - config_.beta2),
                                  .decay = S(config_.decoupled ? rate * decay : 0),
                                  .rate = S(rate / (1 - std::pow(config_.beta1, t))),
                                  .root = S(1 / std::sqrt(1 - std::pow(config_.beta2, t))),
                                  .epsilon = S(config_.epsilon)};
    });
  }

  const Config& config() const { return config_; }
  /// The parameters with their moments (state[0] = m, state[1] = v) and counts of steps.
  const auto& slots() const { return state_.slots(); }

  template <class Archive>
  static void checkpoint(auto& self, Archive& archive) {
    self.state_.checkpoint(archive, std::array{"m", "v"});
  }

 private:
  Config config_;
  detail::ElementwiseState<B, kernel::AdamwRule> state_;
};

}  // namespace phonaut
