#pragma once
// Activation functions and other elementwise functions, by name. Each is one formula struct (ops/formula) put through
// `map`; a formula of your own works the same way: `map(x, MyFormula{})`.
#include "phonaut/ops/formula/activation.hpp"
#include "phonaut/ops/formula/elementary.hpp"
#include "phonaut/ops/formula/swoosh.hpp"
#include "phonaut/ops/map.hpp"

namespace phonaut {

/// x Φ(x), the exact GELU through erf. Hendrycks and Gimpel, 2016.
template <class B, size_t R>
Var<B, R> gelu(const Var<B, R>& x) {
  return map<formula::Gelu>(x);
}
/// x sigmoid(x), also called swish.
template <class B, size_t R>
Var<B, R> silu(const Var<B, R>& x) {
  return map<formula::Silu>(x);
}
template <class B, size_t R>
Var<B, R> tanh(const Var<B, R>& x) {
  return map<formula::Tanh>(x);
}
/// 1 / (1 + exp(-x)).
template <class B, size_t R>
Var<B, R> sigmoid(const Var<B, R>& x) {
  return map<formula::Sigmoid>(x);
}
/// log(1 + exp(x)).
template <class B, size_t R>
Var<B, R> softplus(const Var<B, R>& x) {
  return map<formula::Softplus>(x);
}
/// max(x, 0).
template <class B, size_t R>
Var<B, R> relu(const Var<B, R>& x) {
  return map<formula::Relu>(x);
}
/// x where positive, else leak · x.
template <class B, size_t R>
Var<B, R> leaky_relu(const Var<B, R>& x, float leak = 0.01f) {
  return map(x, formula::LeakyRelu{leak});
}
/// x where positive, else alpha (exp(x) - 1).
template <class B, size_t R>
Var<B, R> elu(const Var<B, R>& x, float alpha = 1) {
  return map(x, formula::Elu{alpha});
}
/// log(1 + exp(x - 4)) - 0.08 x - 0.035. Yao et al., "Zipformer", 2023.
template <class B, size_t R>
Var<B, R> swoosh_l(const Var<B, R>& x) {
  return map<formula::SwooshL>(x);
}
/// log(1 + exp(x - 1)) - 0.08 x - 0.313261687. Yao et al., "Zipformer", 2023.
template <class B, size_t R>
Var<B, R> swoosh_r(const Var<B, R>& x) {
  return map<formula::SwooshR>(x);
}
template <class B, size_t R>
Var<B, R> exp(const Var<B, R>& x) {
  return map<formula::Exp>(x);
}
/// Natural logarithm; -inf at 0, NaN below.
template <class B, size_t R>
Var<B, R> log(const Var<B, R>& x) {
  return map<formula::Log>(x);
}
/// log(max(x, floor)), with no gradient where the floor holds: energies, spectra.
template <class B, size_t R>
Var<B, R> log(const Var<B, R>& x, float floor) {
  return map(x, formula::LogAbove{floor});
}
template <class B, size_t R>
Var<B, R> sqrt(const Var<B, R>& x) {
  return map<formula::Sqrt>(x);
}
template <class B, size_t R>
Var<B, R> square(const Var<B, R>& x) {
  return map<formula::Square>(x);
}
/// |x|, with slope 0 at 0.
template <class B, size_t R>
Var<B, R> abs(const Var<B, R>& x) {
  return map<formula::Abs>(x);
}

}  // namespace phonaut
