#pragma once
// Lion: sign of a momentum, decoupled decay.
#include "phonaut/training/formula/lion.hpp"
#include "phonaut/training/parameters.hpp"

namespace phonaut {

/// Lion (Chen et al., 2023). Wants a learning rate three to ten times smaller, and a decay as much larger, than AdamW.
template <class B>
class Lion {
 public:
  struct Config {
    double beta1 = 0.9, beta2 = 0.99;
    double weight_decay = 0.1;
    ParameterFilter decays = decays_by_default;
    ParameterFilter trains = {};  ///< which parameters this optimiser is for; empty: all
  };

  /// Throws ConfigError for betas outside of [0, 1) or a negative decay.
  template <class Model>
  Lion(const B& backend, const Model& model, Config config = {})
      : config_(std::move(config)), state_(backend, flat_parameters<B>(model, config_.trains), config_.decays) {
    if (!(config_.beta1 >= 0 && config_.beta1 < 1 && config_.beta2 >= 0 && config_.beta2 < 1))
      throw ConfigError(concat("lion: betas must be in [0, 1), got ", config_.beta1, " and ", config_.beta2));
    if (!(config_.weight_decay >= 0))
      throw ConfigError(concat("lion: weight_decay must not be negative, got ", config_.weight_decay));
  }

  /// One update with learning rate `rate` and gradients times `scale`. Parameters without a gradient stay as they are.
  void step(const B& backend, const Gradients<B>& gradients, double rate, double scale = 1) {
    state_.apply(backend, gradients, [&](const auto& slot) {
      using S = typename B::Scalar;
      return kernel::LionRule<S>{.scale = S(scale),
                                 .beta1 = S(config_.beta1),
                                 .rest1 = S(1 - config_.beta1),
                                 .beta2 = S(config_.beta2),
                                 .rest2 = S(1 - config_.beta2),
                                 .decay = S(slot.decays ? rate * config_.weight_decay : 0),
                                 .rate = S(rate)};
    });
  }

  const auto& slots() const { return state_.slots(); }

  template <class Archive>
  static void checkpoint(auto& self, Archive& archive) {
    self.state_.checkpoint(archive, std::array{"m"});
  }

 private:
  Config config_;
  detail::ElementwiseState<B, kernel::LionRule> state_;
};

}  // namespace phonaut
