#pragma once
// A small model and gradients of our choice, for the tests of training.
#include <optional>
#include <string>
#include <vector>

#include "phonaut/core/param.hpp"
#include "phonaut/core/visit.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/linear.hpp"

namespace phonaut::testing {

/// Parameters of several ranks, an absent one, a list, and States of two element types.
template <class B>
struct Mixture {
  struct Block {
    Param<B, 2> weight;
    Param<B, 1> bias;
    static void visit(auto& self, auto&& f) {
      f("weight", self.weight);
      f("bias", self.bias);
    }
  };
  std::vector<Block> layers;
  Param<B, 3> kernel;
  Param<B, 0> gain;
  std::optional<Param<B, 1>> absent;
  State<B, 2> codebook;
  State<B, 1, std::int32_t> counts;

  explicit Mixture(Context<B>& ctx, long width = 5) {
    for (int i = 0; i < 2; ++i)
      layers.push_back({make_param(ctx, Shape<2>{width, width}, Init::fan_in(width)),
                        make_param(ctx, Shape<1>{width}, Init::normal(0.1))});
    kernel = make_param(ctx, Shape<3>{2, 3, 4}, Init::normal(1));
    gain = make_param(ctx, Shape<0>{}, Init::constant(0.5));
    codebook = make_state<typename B::Scalar>(ctx, Shape<2>{4, 3}, Init::normal(1));
    counts = make_state<std::int32_t>(ctx, Shape<1>{4}, Init::constant(7));
  }
  static void visit(auto& self, auto&& f) {
    f("layers", self.layers);
    f("kernel", self.kernel);
    f("gain", self.gain);
    f("absent", self.absent);
    f("codebook", self.codebook);
    f("counts", self.counts);
  }
};

/// Gradients that are exactly `values(name, i)` for parameter `name`: those of Σ value · p. Nothing for a parameter
/// whose name `skip` accepts.
template <class B, class Model, class Values>
Gradients<B> chosen_gradients(Context<B>& ctx, const Model& model, const Values& values,
                              const std::string& skip = "nobody") {
  ctx.train();
  Gradients<B> gradients;
  Var<B, 0> loss;
  for_each_param(model, [&]<class P>(const std::string& name, const P& p) {
    if (name == skip) return;
    std::vector<double> wanted(static_cast<size_t>(p.size()));
    for (size_t i = 0; i < wanted.size(); ++i) wanted[i] = values(name, static_cast<long>(i));
    const auto term = sum(ctx.lift(p) * input(ctx, p.shape(), wanted));
    loss = loss ? loss + term : term;
  });
  ctx.backward(loss, gradients);
  return gradients;
}

/// All weights of a model as doubles, in the order of visit.
template <class Model>
std::vector<double> all_values(const Model& model) {
  std::vector<double> values;
  for_each_weight(model, [&](const std::string&, const auto& w) {
    for (const auto v : to_vector(w.tensor())) values.push_back(static_cast<double>(v));
  });
  return values;
}

}  // namespace phonaut::testing
