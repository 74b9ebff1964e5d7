#pragma once
// Formulas that a matrix product can put its results through while they are at hand, in registers or the nearest cache.
// Light: per-ISA kernel files include it.
#include "phonaut/ops/formula/activation.hpp"
#include "phonaut/ops/formula/swoosh.hpp"

namespace phonaut::kernel {

enum class Activation { none, relu, silu, gelu, tanh, swoosh_l, swoosh_r };

/// The name of a formula (ops/formula) that products know; none of others, for which a map follows the product.
template <class F>
inline constexpr Activation activation_of = Activation::none;
template <>
inline constexpr Activation activation_of<formula::Relu> = Activation::relu;
template <>
inline constexpr Activation activation_of<formula::Silu> = Activation::silu;
template <>
inline constexpr Activation activation_of<formula::Gelu> = Activation::gelu;
template <>
inline constexpr Activation activation_of<formula::Tanh> = Activation::tanh;
template <>
inline constexpr Activation activation_of<formula::SwooshL> = Activation::swoosh_l;
template <>
inline constexpr Activation activation_of<formula::SwooshR> = Activation::swoosh_r;

/// Calls run(formula) with the one of that name; nothing for none.
template <class Run>
PHONAUT_INLINE void with_formula(Activation activation, const Run& run) {
  switch (activation) {
    case Activation::relu:
      return run(formula::Relu{});
    case Activation::silu:
      return run(formula::Silu{});
    case Activation::gelu:
      return run(formula::Gelu{});
    case Activation::tanh:
      return run(formula::Tanh{});
    case Activation::swoosh_l:
      return run(formula::SwooshL{});
    case Activation::swoosh_r:
      return run(formula::SwooshR{});
    case Activation::none:
      break;
  }
}

}  // namespace phonaut::kernel
