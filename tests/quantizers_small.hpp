#pragma once
// Small quantizers of each kind, for tests.
#include "phonaut/quantizers/factorised_rvq.hpp"
#include "phonaut/quantizers/fsq.hpp"
#include "phonaut/quantizers/global_codes.hpp"
#include "phonaut/quantizers/gumbel.hpp"
#include "phonaut/quantizers/lfq.hpp"
#include "phonaut/quantizers/masked_channel_rvq.hpp"
#include "phonaut/quantizers/mvq.hpp"
#include "phonaut/quantizers/mvq_prediction.hpp"
#include "phonaut/quantizers/online_clusters.hpp"
#include "phonaut/quantizers/random_projection.hpp"
#include "phonaut/quantizers/split_rvq.hpp"
#include "phonaut/quantizers/wasserstein_codes.hpp"
#include "quantizers_support.hpp"

namespace phonaut::testing {

template <class B>
GroupedResidualQuantizer<B> grouped(Context<B>& ctx, CodebookOptions book = {.entries = 9}) {
  return {ctx, {.dims = 4, .groups = 2, .group = {.levels = 3, .codebook = book}}};
}
template <class B>
MaskedChannelQuantizer<B> masked(Context<B>& ctx, CodebookOptions book = {.entries = 9}) {
  return {ctx, {.dims = 5, .levels = 5, .codebook = book}};
}
template <class B>
SplitResidualQuantizer<B> split(Context<B>& ctx, CodebookOptions book = {.entries = 9}) {
  return {ctx, {.channels = 5, .dims = 3, .acoustic_levels = 2, .codebook = book}};
}
template <class B>
FactorisedResidualQuantizer<B> factorised(Context<B>& ctx) {
  return {ctx, {.dims = 4, .levels = 3, .entries = 9, .code_dims = 2}};
}
template <class B>
GumbelQuantizer<B> gumbel(Context<B>& ctx, bool hard = true) {
  return {ctx, {.channels = 4, .dims = 6, .groups = 2, .entries = 5, .hard = hard}};
}
template <class B>
MultiCodebookQuantizer<B> mvq(Context<B>& ctx, long books = 4, long entries = 8) {
  return {ctx, {.dims = 6, .books = books, .entries = entries}};
}
template <class B>
OnlineClusters<B> clusters(Context<B>& ctx) {
  return {ctx, {.dims = 4, .layers = 2, .entries = 6}};
}

template <class B>
double squared_error(const Var<B, 3>& a, const Var<B, 3>& b) {
  return static_cast<double>(item(mse_loss(a, b)));
}

}  // namespace phonaut::testing
