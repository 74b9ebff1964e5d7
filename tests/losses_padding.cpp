// Law: a padded batch has the losses and gradients of its utterances, whatever stands in the padding.
#include <functional>
#include <limits>

#include "catch.hpp"
#include "phonaut/losses/distillation.hpp"
#include "phonaut/losses/generative.hpp"
#include "phonaut/losses/hubert.hpp"
#include "phonaut/losses/kl.hpp"
#include "phonaut/losses/masked_prediction.hpp"
#include "phonaut/losses/si_sdr.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using phonaut::testing::normal;

namespace {

constexpr long kChannels = 6;
const std::vector<long> kLengths{7, 0, 4, 1};
constexpr long kTime = 7;

using B = Reference64;
using Marks = std::vector<long>;

/// A loss of two sequences; `share` says how many terms an utterance of that length contributes to a mean (with its
/// marks), or 0 for a loss that is a sum over utterances.
struct Law {
  const char* name;
  std::function<Var<B, 0>(const Sequence<B>&, const Sequence<B>&, const Marks&)> loss;
  std::function<double(long, const Marks&)> share;
};

double frames(long length, const Marks&) { return static_cast<double>(length); }
double marked(long length, const Marks& marks) {
  double n = 0;
  for (long t = 0; t < length; ++t) n += marks[static_cast<size_t>(t)] != 0;
  return n;
}
double sum_of_all(long, const Marks&) { return 0; }

std::vector<Law> laws() {
  const KlOptions floored{.free_bits = 0.4, .floor = KlOptions::Floor::element};
  return {
      {"l1", [](auto& x, auto& y, auto&) { return l1_loss(x, y); }, frames},
      {"mse", [](auto& x, auto& y, auto&) { return mse_loss(x, y); }, frames},
      {"smooth l1", [](auto& x, auto& y, auto&) { return smooth_l1_loss(x, y, 0.5); }, frames},
      {"kl", [](auto& x, auto& y, auto&) { return kl_loss(x, y); }, frames},
      {"kl with floor", [floored](auto& x, auto& y, auto&) { return kl_loss(x, y, floored); }, frames},
      {"masked prediction", [](auto& x, auto& y, auto& m) { return masked_prediction_loss(x, y, m); }, marked},
      {"data2vec",
       [](auto& x, auto& y, auto& m) {
         return data2vec_loss(x, data2vec_target(std::vector{y, y}), m);
       },
       sum_of_all},
      {"distillation by frame", [](auto& x, auto& y, auto&) { return distill_over_channels(x, y); }, frames},
      {"flow matching", [](auto& x, auto& y, auto&) { return flow_matching_loss(x, y.frames); }, frames},
      {"flux", [](auto& x, auto& y, auto&) { return flux_loss(x, y); },
       [](long length, const Marks&) { return static_cast<double>(std::max(0L, length - 1)); }},
      {"hubert",
       [](auto& x, auto&, auto& m) {
         std::vector<long> all(static_cast<size_t>(x.batch() * x.time()));
         for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<long>(i) % kTime % 3;
         auto& ctx = x.context();
         const auto table = input(ctx, Shape<2>{3, kChannels}, normal(Shape<2>{3, kChannels}, 8).data);
         return hubert_loss(x, table, all, m, {.unmasked_weight = 0.25});
       },
       sum_of_all},
      {"masked cross-entropy",
       [](auto& x, auto&, auto& m) {
         std::vector<long> all(static_cast<size_t>(x.batch() * x.time()));
         for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<long>(i) % kTime % kChannels;
         return masked_cross_entropy(x, all, m, {.unmasked_weight = 0.25});
       },
       sum_of_all},
  };
}

}  // namespace

TEST_CASE("losses of a padded batch are those of its utterances", "[losses]") {
  const Shape<3> shape{static_cast<long>(kLengths.size()), kTime, kChannels};
  auto x = normal(shape, 1).data, y = normal(shape, 2).data;
  Marks marks(static_cast<size_t>(shape[0] * kTime));
  for (size_t i = 0; i < marks.size(); ++i) marks[i] = i % kTime % 3 != 1;
  for (long n = 0; n < shape[0]; ++n)
    for (long i = kLengths[static_cast<size_t>(n)] * kChannels; i < kTime * kChannels; ++i)
      x[static_cast<size_t>(n * kTime * kChannels + i)] = y[static_cast<size_t>(n * kTime * kChannels + i)] =
          std::numeric_limits<double>::quiet_NaN();

  for (const Law& law : laws()) {
    INFO(law.name);
    Context<B> ctx;
    ctx.train();
    const auto vx = ctx.variable(input(ctx, shape, x).tensor());
    const Lengths lengths = lengths_of(ctx, kLengths);
    const auto loss = law.loss({vx, lengths, 0}, {input(ctx, shape, y), lengths, 0}, marks);
    const double batch_loss = item(loss);
    const auto dx = to_vector(ctx.backward(loss)[vx]);

    double total = 0, shares = 0;
    std::vector<double> want_dx(x.size(), 0.0);
    std::vector<double> weights(kLengths.size());
    for (long n = 0; n < shape[0]; ++n) {
      const Marks own(marks.begin() + n * kTime, marks.begin() + n * kTime + kTime);
      weights[static_cast<size_t>(n)] = law.share(kLengths[static_cast<size_t>(n)], own);
      shares += weights[static_cast<size_t>(n)];
    }
    for (long n = 0; n < shape[0]; ++n) {
      const long length = kLengths[static_cast<size_t>(n)];
      const auto part = [&](const std::vector<double>& all) {
        const auto first = all.begin() + n * kTime * kChannels;
        return input(ctx, Shape<3>{1, length, kChannels}, std::vector<double>(first, first + length * kChannels));
      };
      const Marks own(marks.begin() + n * kTime, marks.begin() + n * kTime + length);
      const auto alone = ctx.variable(part(x).tensor());
      const auto of_one = law.loss({alone, {}, 0}, {part(y), {}, 0}, own);
      const double weight = shares > 0 ? weights[static_cast<size_t>(n)] / shares : 1;
      total += weight * item(of_one);
      if (length == 0) continue;
      const auto gradients = ctx.backward(of_one);
      if (!gradients.has(alone)) continue;  // a loss of pairs of frames, and there is only one
      const auto gradient = to_vector(gradients[alone]);
      for (size_t i = 0; i < gradient.size(); ++i)
        want_dx[static_cast<size_t>(n * kTime * kChannels) + i] = weight * gradient[i];
    }
    CHECK(batch_loss == Approx(total).epsilon(1e-12));
    for (size_t i = 0; i < dx.size(); ++i) CHECK(dx[i] == Approx(want_dx[i]).margin(1e-12));
  }
}

TEST_CASE("SI-SDR of a padded batch is that of its signals", "[losses]") {
  Context<Cpu> ctx;
  const auto estimate = normal(Shape<2>{2, 50}, 1).data, reference = normal(Shape<2>{2, 50}, 2).data;
  auto padded = estimate;
  for (size_t i = 80; i < 100; ++i) padded[i] = std::numeric_limits<double>::quiet_NaN();
  const auto got = values_of(si_sdr(input(ctx, Shape<2>{2, 50}, padded), input(ctx, Shape<2>{2, 50}, reference),
                                    lengths_of(ctx, std::vector{50, 30})));
  for (const size_t n : {size_t(0), size_t(1)}) {
    const long length = n == 0 ? 50 : 30;
    const auto part = [&](const std::vector<double>& all) {
      return input(ctx, Shape<2>{1, length},
                   std::vector<double>(all.begin() + static_cast<long>(n) * 50,
                                       all.begin() + static_cast<long>(n) * 50 + length));
    };
    CHECK(got[n] == values_of(si_sdr(part(estimate), part(reference)))[0]);
  }
}

TEST_CASE("losses of nothing are zero, not NaN", "[losses]") {
  Context<Cpu> ctx;
  const Sequence<Cpu> x{input(ctx, Shape<3>{2, 3, 4}, normal(Shape<3>{2, 3, 4}, 1).data),
                        lengths_of(ctx, std::vector{0, 0}), 0};
  const std::vector<int> nobody(6, 0);
  CHECK(item(mse_loss(x, x)) == 0);
  CHECK(item(kl_loss(x, x)) == 0);
  CHECK(item(masked_prediction_loss(x, x, std::vector<int>(6, 1))) == 0);
  CHECK(item(masked_prediction_loss(Sequence<Cpu>{x.frames, {}, 0}, x, nobody)) == 0);
  CHECK(item(flux_loss(x, x)) == 0);
}

TEST_CASE("losses say what does not fit", "[losses]") {
  Context<Cpu> ctx;
  const Sequence<Cpu> x{ctx.constant(ctx.zeros(Shape<3>{2, 3, 4})), {}, 0},
      y{ctx.constant(ctx.zeros(Shape<3>{2, 3, 5})), {}, 0};
  CHECK_THROWS_WITH(mse_loss(x, y), "mse_loss: x is (2, 3, 4) but y is (2, 3, 5)");
  CHECK_THROWS_AS(masked_prediction_loss(x, y, std::vector<int>(6)), ShapeError);
  CHECK_THROWS_AS(masked_prediction_loss(x, x, std::vector<int>(5)), ShapeError);
  CHECK_THROWS_AS(smooth_l1_loss(x, x, 0), ConfigError);
  CHECK_THROWS_AS(cross_entropy(x.frames, labels_of(ctx, std::vector{0, 1, 2, 3, 4, 0})), ShapeError);
  CHECK_THROWS_AS(cross_entropy(x.frames, labels_of(ctx, std::vector{0, 1})), ShapeError);
  CHECK_THROWS_AS(mse_loss(Sequence<Cpu>{x.frames, lengths_of(ctx, std::vector{4, 1}), 0}, x), ShapeError);
}
