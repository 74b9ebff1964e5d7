#pragma once
// A small model that needs everything that ranks reduce, and what a rank makes of its training: for the tests on
// threads and on processes.
#include <cmath>
#include <string>
#include <vector>

#include "phonaut/encoders/zipformer/stack.hpp"
#include "phonaut/layers/linear.hpp"
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/losses/regression.hpp"
#include "phonaut/losses/sigreg.hpp"
#include "phonaut/quantizers/rvq.hpp"
#include "phonaut/testing/gradient_check.hpp"
#include "phonaut/training/sgd.hpp"
#include "phonaut/training/trainer.hpp"
#include "training_support.hpp"

namespace phonaut::testing {

/// Two Zipformer layers at half the frame rate, a residual quantizer that starts by k-means and revives dead entries,
/// and a linear map that should give the frames back. `spare` is never used.
struct SharedModel {
  static constexpr long channels = 16;
  ZipformerStack<Cpu> encoder;
  ResidualQuantizer<Cpu> codes;
  Linear<Cpu> head, spare;

  explicit SharedModel(Context<Cpu>& ctx)
      : encoder(ctx, {.dim = channels,
                      .layers = 2,
                      .heads = 2,
                      .feedforward = 24,
                      .kernel = 5,
                      .downsample = 2,
                      .query_head = 8,
                      .value_head = 4,
                      .pos_dim = 16}),
        codes(ctx, {.dims = channels,
                    .levels = 2,
                    .codebook = {.entries = 8,
                                 .rule = {.decay = 0.8, .revival = EmaRule::Revival::after, .threshold = 0.9},
                                 .kmeans_iterations = 3}}),
        head(ctx, {.in = channels, .out = channels}),
        spare(ctx, {.in = channels, .out = channels}) {}
  static void visit(auto& self, auto&& f) {
    f("encoder", self.encoder), f("codes", self.codes), f("head", self.head), f("spare", self.spare);
  }
  Var<Cpu, 0> loss(const Sequence<Cpu>& x) const {
    const Sequence<Cpu> latents = encoder(x);
    const Quantized<Cpu> q = codes(latents);
    const Sequence<Cpu> back = x.with(head(q.quantized.frames));
    return mean_over_ranks(mse_loss(back, x), x) + 0.05f * sigreg(latents, {.slices = 24}) + q.loss;
  }
};

/// Utterances `first` … `first + count - 1` of one long list, each of its own length and padded to the longest of the
/// whole batch, `whole` utterances from `begin` on.
inline Sequence<Cpu> utterances(Context<Cpu>& ctx, long begin, long whole, long first, long count) {
  const auto length = [](long u) { return 12 + 5 * (u % 4); };
  long time = 0;
  for (long u = begin; u < begin + whole; ++u) time = std::max(time, length(u));
  std::vector<float> frames(static_cast<size_t>(count * time * SharedModel::channels), 0.f);
  std::vector<long> lengths;
  for (long n = 0; n < count; ++n) {
    lengths.push_back(length(first + n));
    const auto own =
        normal(Shape<2>{lengths.back(), SharedModel::channels}, static_cast<std::uint64_t>(first + n)).data;
    std::copy(own.begin(), own.end(), frames.begin() + n * time * SharedModel::channels);
  }
  return sequence_of(input(ctx, Shape<3>{count, time, SharedModel::channels}, frames), lengths);
}

struct Trained {
  std::vector<double> values, average, losses, norms;
  long buckets = 0;
};
/// Trains on batches of so many utterances, of which each rank takes its share: the first ranks one more where it does
/// not divide.
inline Trained train_together(const Ranks& ranks, const std::vector<long>& batches, long accumulate = 1) {
  Context<Cpu> ctx(Cpu{}, 7);
  ctx.threads(1);
  SharedModel model(ctx), average = deep_copy(model, ctx.backend());
  // Ranks other than the first begin with other weights, which they must not keep.
  if (!ranks.first()) model.head.weight.tensor().data()[0] += 1.f;
  ctx.join(ranks);
  // Small buckets, so that there are several.
  Trainer<Cpu, Sgd<Cpu>> trainer(
      ctx, model, Sgd<Cpu>(ctx.backend(), model),
      {.rate = ConstantSchedule{0.05}, .clip = 0.5, .accumulate = accumulate, .bucket_megabytes = 0.01});
  trainer.follow(Ema<Cpu>(average, model, {.keep = ConstantSchedule{0.5}, .warm_up = false}));
  Trained result;
  long begin = 0;
  for (const long whole : batches) {
    const long rank = ranks.rank(), size = ranks.size(), each = whole / size, rest = whole % size;
    const long first = begin + rank * each + std::min(rank, rest), count = each + (rank < rest ? 1 : 0);
    const TrainStep done = trainer.step([&] { return model.loss(utterances(ctx, begin, whole, first, count)); });
    result.losses.push_back(done.loss);
    if (done.updated) result.norms.push_back(done.norm);
    begin += whole;
  }
  result.values = all_values(model);
  result.average = all_values(average);
  if (trainer.reducer()) result.buckets = static_cast<long>(trainer.reducer()->buckets());
  return result;
}

/// The largest difference, relative to the largest value.
inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size() || a.empty()) return HUGE_VAL;
  double most = 0, apart = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::fabs(b[i]));
    apart = std::isfinite(a[i]) ? std::max(apart, std::fabs(a[i] - b[i])) : HUGE_VAL;
  }
  return apart / most;
}

// Ranks add up the same numbers in another order: an element of a gradient is off by some rounding errors of its terms,
// of 6e-8 each, and a few hundred frames add up to a part in 10^6. Updates carry that on for some steps.
constexpr double rounding_of_sums = 2e-5;

/// Every collective, with values that tell which rank they are of. Empty if all is well, else what was wrong.
inline std::string try_collectives(const Ranks& ranks) {
  const int rank = ranks.rank(), size = ranks.size();
  // Sums of few and of many values: numbers whose sum depends on its order, and must be that of the ranks.
  const auto term = [](int r, long i) { return 1.0f / static_cast<float>(3 + r * 7 + i % 11); };
  for (const long n : {0L, 1L, 5L, 2048L, 2049L, 10007L}) {
    std::vector<float> floats(static_cast<size_t>(n));
    std::vector<double> doubles(floats.size());
    for (long i = 0; i < n; ++i) doubles[static_cast<size_t>(i)] = floats[static_cast<size_t>(i)] = term(rank, i);
    ranks.all_reduce(floats.data(), n);
    ranks.all_reduce(doubles.data(), n);
    for (long i = 0; i < n; ++i) {
      float want = term(0, i);
      double wide = term(0, i);
      for (int r = 1; r < size; ++r) want += term(r, i), wide += static_cast<double>(term(r, i));
      if (floats[static_cast<size_t>(i)] != want || doubles[static_cast<size_t>(i)] != wide)
        return concat("sum ", i, " of ", n, " is ", floats[static_cast<size_t>(i)], ", not ", want);
    }
  }
  for (int root = 0; root < size; ++root) {
    std::vector<long> values(100, rank);
    ranks.broadcast(values.data(), 100, root);
    for (const long v : values)
      if (v != root) return concat("rank ", root, " told ", v);
  }
  const auto all = ranks.all_gather(10 * rank + 1);
  for (int r = 0; r < size; ++r)
    if (all[static_cast<size_t>(r)] != 10 * r + 1) return concat("rank ", r, " said ", all[static_cast<size_t>(r)]);
  ranks.barrier();
  const Ranks other = ranks.duplicate();
  if (other.rank() != rank || other.size() != size || other.all_reduce(1.0) != size) return "the duplicate differs";
  if (ranks.all_reduce(2.0) != 2 * size) return "the first channel has suffered from the second";
  return {};
}

}  // namespace phonaut::testing
