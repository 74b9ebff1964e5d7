#pragma once
// Stochastic gradient descent with momentum.
#include "phonaut/training/formula/sgd.hpp"
#include "phonaut/training/parameters.hpp"

namespace phonaut {

/// SGD with classical or Nesterov momentum; the first buffer is the first gradient, as in PyTorch.
template <class B>
class Sgd {
 public:
  struct Config {
    double momentum = 0.9;
    bool nesterov = false;
    double weight_decay = 0;  ///< added to the gradient as `weight_decay · p`
    ParameterFilter decays = decays_by_default;
    ParameterFilter trains = {};  ///< which parameters this optimiser is for; empty: all
  };

  /// Throws ConfigError for a momentum outside of [0, 1) or a negative decay.
  template <class Model>
  Sgd(const B& backend, const Model& model, Config config = {})
      : config_(std::move(config)), state_(backend, flat_parameters<B>(model, config_.trains), config_.decays) {
    if (!(config_.momentum >= 0 && config_.momentum < 1 && config_.weight_decay >= 0))
      throw ConfigError(concat("sgd: momentum must be in [0, 1) and weight_decay not negative, got ", config_.momentum,
                               " and ", config_.weight_decay));
  }

  /// One update with learning rate `rate` and gradients times `scale`. Parameters without a gradient stay as they are.
  void step(const B& backend, const Gradients<B>& gradients, double rate, double scale = 1) {
    state_.apply(backend, gradients, [&](const auto& slot) {
      using S = typename B::Scalar;
      return kernel::SgdRule<S>{.scale = S(scale),
                                .penalty = S(slot.decays ? config_.weight_decay : 0),
                                .keep = S(slot.steps > 1 ? config_.momentum : 0),
                                .look_ahead = S(config_.nesterov ? config_.momentum : 1),
                                .direct = S(config_.nesterov ? 1 : 0),
                                .rate = S(rate)};
    });
  }

  const auto& slots() const { return state_.slots(); }

  template <class Archive>
  static void checkpoint(auto& self, Archive& archive) {
    self.state_.checkpoint(archive, std::array{"buffer"});
  }

 private:
  Config config_;
  detail::ElementwiseState<B, kernel::SgdRule> state_;
};

}  // namespace phonaut
