#pragma once
// Products in single precision within a computation that asks for less.
#include "phonaut/core/context.hpp"

namespace phonaut {

/// While it lives, matrix products of a context are computed in fp32, and so are those of the way back of what is
/// recorded meanwhile. For statistics, losses, searches among codes and filters that are not trained: their products
/// are few, and what follows (differences, exponentials, decisions) would magnify the rounding of bf16.
template <class B>
class FullPrecision {
 public:
  explicit FullPrecision(Context<B>& ctx) : ctx_(ctx), before_(detail::precision_of(ctx.backend())) {
    set(Precision::fp32);
  }
  FullPrecision(const FullPrecision&) = delete;
  FullPrecision& operator=(const FullPrecision&) = delete;
  ~FullPrecision() { set(before_); }

 private:
  void set(Precision precision) {
    if constexpr (requires { ctx_.precision(precision); }) ctx_.precision(precision);
  }

  Context<B>& ctx_;
  Precision before_;
};

/// The same backend with products in fp32, for code that has no context (optimisers).
template <class B>
B full_precision(B backend) {
  detail::set_precision(backend, Precision::fp32);
  return backend;
}

}  // namespace phonaut
