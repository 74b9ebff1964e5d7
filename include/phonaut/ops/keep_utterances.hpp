#pragma once
// Utterances that skip a part of a network: the branch of a residual layer counts for some of a batch and not for
// others. What is kept is not scaled up.
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

/// A flag for each utterance of a batch, 0 or 1, on the host. Empty: all are 1.
using UtteranceFlags = Lengths;

namespace detail {

inline void check_flags(const char* op, const UtteranceFlags& flags, long batch) {
  if (flags && flags.extent(0) != batch)
    throw ShapeError(concat(op, ": a batch of ", batch, " utterances does not fit ", flags.extent(0), " flags"));
}
/// y[n] = x[n] (or +=) where flags[n] == value; 0 (or unchanged) elsewhere.
template <class B, class S, size_t R>
void copy_flagged(const B& backend, const UtteranceFlags& flags, long value, View<const S, R> x, View<S, R> y,
                  bool add) {
  for (long n = 0; n < x.shape[0]; ++n) {
    if (flags.data()[n] == value) kernel::copy_block(backend, x[n], y[n], add);
    else if (!add) kernel::fill(backend, y[n].data, y[n].size(), S(0));
  }
}

}  // namespace detail

/// x where keep is 1, 0 where it is 0; x itself, the same memory, if all are kept. Throws ShapeError if the number of
/// flags does not fit.
template <class B, size_t R>
requires(R >= 2) Var<B, R> keep_utterances(const Var<B, R>& x, const UtteranceFlags& keep) {
  detail::check_flags("keep_utterances", keep, x.extent(0));
  if (!keep || std::count(keep.data(), keep.data() + keep.size(), 0) == 0) return x;
  auto& ctx = x.context();
  auto y = ctx.empty(x.shape());
  detail::copy_flagged(ctx.backend(), keep, 1, x.in(), y.out(), false);
  return record(
      std::move(y),
      [x = target(x), keep](Context<B>& c, const Tensor<B, R>& dy) {
        using S = typename B::Scalar;
        if (auto dx = c.sink(x)) detail::copy_flagged(c.backend(), keep, 1, dy.in(), View<S, R>(dx), dx.add);
      },
      x);
}

/// `fresh` where keep is 1, `old` where it is 0; one of them itself if all flags agree. Throws ShapeError if the shapes
/// differ or the number of flags does not fit.
template <class B, size_t R>
requires(R >= 2) Var<B, R> choose_utterances(const UtteranceFlags& keep, const Var<B, R>& fresh, const Var<B, R>& old) {
  check_same_shape("choose_utterances", "the new value", fresh.shape(), "the old one", old.shape());
  detail::check_flags("choose_utterances", keep, fresh.extent(0));
  const long skipped = keep ? std::count(keep.data(), keep.data() + keep.size(), 0) : 0;
  if (skipped == 0) return fresh;
  if (skipped == keep.size()) return old;
  auto& ctx = fresh.context();
  auto y = ctx.empty(fresh.shape());
  for (long n = 0; n < y.extent(0); ++n)
    kernel::copy_block(ctx.backend(), (keep.data()[n] ? fresh : old).in()[n], y.out()[n], false);
  return record(
      std::move(y),
      [fresh = target(fresh), old = target(old), keep](Context<B>& c, const Tensor<B, R>& dy) {
        using S = typename B::Scalar;
        if (auto dx = c.sink(fresh)) detail::copy_flagged(c.backend(), keep, 1, dy.in(), View<S, R>(dx), dx.add);
        if (auto dx = c.sink(old)) detail::copy_flagged(c.backend(), keep, 0, dy.in(), View<S, R>(dx), dx.add);
      },
      fresh, old);
}

}  // namespace phonaut
