#pragma once
// Random directions to project embeddings on, for losses that compare distributions slice by slice.
#include "phonaut/ops/frames.hpp"
#include "phonaut/ops/random_normal.hpp"
#include "phonaut/ops/unit_columns.hpp"

namespace phonaut {

/// A purpose for Context::step_draws, so that every user of the step's randomness has draws of its own.
constexpr std::uint64_t kSliceDraws = 0x51194E6;

/// The columns of `directions` (D, M) at unit length.
template <class B>
Tensor<B, 2> unit_slices(Context<B>& ctx, const Tensor<B, 2>& directions) {
  Tensor<B, 2> slices = ctx.clone(directions);
  kernel::unit_columns(ctx.backend(), slices.out());
  return slices;
}

/// `count` directions, uniform on the unit sphere of R^dims, as columns (dims, count). They follow from the context's
/// seed and step alone: equal on every rank, new in every step, the same after a restart.
template <class B>
Tensor<B, 2> random_slices(Context<B>& ctx, long dims, long count) {
  Tensor<B, 2> slices = random_normal(ctx, Shape<2>{dims, count}, ctx.step_draws(kSliceDraws));
  kernel::unit_columns(ctx.backend(), slices.out());
  return slices;
}

}  // namespace phonaut
