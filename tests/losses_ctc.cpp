// CTC: against the sum over all paths, in batches, and at the edges of what can be aligned.
#include <cmath>
#include <limits>
#include <map>

#include "catch.hpp"
#include "phonaut/losses/ctc.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

using Labels = std::vector<long>;
constexpr double infinity = std::numeric_limits<double>::infinity();

/// Calls visit(labels, log-probability) for every path through `time` frames of logits (time, classes).
template <class Visit>
void for_each_path(const std::vector<double>& logits, long time, long classes, long blank, const Visit& visit) {
  std::vector<double> log_p(logits.size());
  for (long t = 0; t < time; ++t) {
    double total = 0;
    for (long c = 0; c < classes; ++c) total += std::exp(logits[static_cast<size_t>(t * classes + c)]);
    for (long c = 0; c < classes; ++c)
      log_p[static_cast<size_t>(t * classes + c)] = logits[static_cast<size_t>(t * classes + c)] - std::log(total);
  }
  long paths = 1;
  for (long t = 0; t < time; ++t) paths *= classes;
  for (long path = 0; path < paths; ++path) {
    Labels labels;
    double sum = 0;
    long before = -1, rest = path;
    for (long t = 0; t < time; ++t, rest /= classes) {
      const long c = rest % classes;
      sum += log_p[static_cast<size_t>(t * classes + c)];
      if (c != before && c != blank) labels.push_back(c);
      before = c;
    }
    visit(labels, sum);
  }
}

Sequence<Cpu> logits_of(Context<Cpu>& ctx, const Shape<3>& shape, std::uint64_t seed, double deviation = 2) {
  return {ctx.variable(input(ctx, shape, normal(shape, seed, deviation).data).tensor()), {}, 0};
}

}  // namespace

TEST_CASE("CTC is the sum over all paths", "[losses]") {
  Context<Reference64> ctx;
  for (const long blank : {0L, 1L, 2L})
    for (const long time : {1L, 2L, 5L, 6L}) {
      const long classes = 3;
      const auto x = normal(Shape<3>{1, time, classes}, 7, 1.5).data;
      std::map<Labels, double> p;
      for_each_path(x, time, classes, blank, [&](const Labels& labels, double log_p) { p[labels] += std::exp(log_p); });
      double total = 0;
      for (const auto& [labels, want] : p) {
        const auto loss = ctc(Sequence<Reference64>{input(ctx, Shape<3>{1, time, classes}, x), {}, 0},
                              transcripts_of(ctx, std::vector<Labels>{labels}), {.blank = blank});
        CHECK(values_of(loss)[0] == Approx(-std::log(want)).epsilon(1e-12));
        total += want;
      }
      CHECK(total == Approx(1).epsilon(1e-12));  // the paths were all there
    }
}

TEST_CASE("CTC of a batch is that of its utterances, whatever is in the padding", "[losses]") {
  const long time = 21, classes = 6;
  const std::vector<Labels> said = {{1, 2, 2, 3, 5}, {}, {4, 4, 4}, {5}};
  const std::vector<long> lengths = {21, 9, 5, 0};
  auto x = normal(Shape<3>{4, time, classes}, 3, 2).data;
  for (size_t n = 0; n < 4; ++n)
    std::fill(x.begin() + (static_cast<long>(n) * time + lengths[n]) * classes,
              x.begin() + (static_cast<long>(n) + 1) * time * classes, std::numeric_limits<double>::quiet_NaN());
  const CtcOptions options{.impossible = Impossible::zero};  // the last one
  std::vector<float> losses, gradient;
  for (const int threads : {1, 3}) {
    Context<Cpu> ctx;
    ctx.threads(threads);
    ctx.train();
    const auto batch = ctx.variable(input(ctx, Shape<3>{4, time, classes}, x).tensor());
    const auto loss = ctc(sequence_of(batch, lengths), transcripts_of(ctx, said), options);
    if (losses.empty()) losses = values_of(loss);
    else CHECK(values_of(loss) == losses);  // bit for bit
    const auto dx = values_of(ctx, ctx.backward(sum(loss))[batch]);
    if (gradient.empty()) gradient = dx;
    else CHECK(dx == gradient);
  }
  Context<Cpu> ctx;
  for (size_t n = 0; n < 4; ++n) {
    ctx.train();
    const Shape<3> shape{1, lengths[n], classes};
    const auto first = x.begin() + static_cast<long>(n) * time * classes;
    const auto alone =
        ctx.variable(input(ctx, shape, std::vector<double>(first, first + lengths[n] * classes)).tensor());
    const auto transcript = transcripts_of(ctx, std::vector<Labels>{said[n]});
    const auto loss = ctc(Sequence<Cpu>{alone, {}, 0}, transcript, options);
    CHECK(values_of(loss)[0] == losses[n]);
    if (lengths[n] > 0) {
      const auto dx = values_of(ctx, ctx.backward(sum(loss))[alone]);
      const auto in_batch = gradient.begin() + static_cast<long>(n) * time * classes;
      CHECK(dx == std::vector<float>(in_batch, in_batch + lengths[n] * classes));
      for (long i = lengths[n] * classes; i < time * classes; ++i) CHECK(in_batch[i] == 0);
    }
    ctx.infer();  // keeps two frames of probabilities instead of all, and must not notice
    CHECK(values_of(ctc(Sequence<Cpu>{ctx.detach(alone), {}, 0}, transcript, options))[0] == losses[n]);
  }
}

TEST_CASE("CTC's gradient takes from each frame what it gives", "[losses]") {
  Context<Cpu> ctx;
  ctx.train();
  const auto x = logits_of(ctx, {2, 300, 40}, 5);
  Labels labels;
  for (long u = 0; u < 90; ++u) labels.push_back(1 + u * 7 % 39);
  const auto dx = to_vector(
      ctx.backward(ctc_loss(x, transcripts_of(ctx, std::vector<Labels>{labels, labels}), Reduction::sum))[x.frames]);
  for (size_t row = 0; row < 600; ++row) {
    double total = 0;
    for (size_t c = 0; c < 40; ++c) total += static_cast<double>(dx[row * 40 + c]);
    // Probabilities and occupancies both sum to 1; 90 labels and 40 classes to an ulp or two each.
    CHECK(std::fabs(total) < 200 * std::numeric_limits<float>::epsilon());
  }
}

TEST_CASE("CTC loss is a sum, or a mean of losses per label", "[losses]") {
  Context<Cpu> ctx;
  const auto x = logits_of(ctx, {3, 8, 5}, 6);
  const auto said = transcripts_of(ctx, std::vector<Labels>{{1, 2}, {}, {4, 4, 1}});
  const auto each = values_of(ctc(x, said));
  CHECK(item(ctc_loss(x, said, Reduction::sum)) == Approx(each[0] + each[1] + each[2]));
  CHECK(item(ctc_loss(x, said)) == Approx((each[0] / 2 + each[1] + each[2] / 3) / 3));
}

TEST_CASE("CTC knows what cannot be aligned", "[losses]") {
  Context<Cpu> ctx;
  ctx.train();
  const auto x = logits_of(ctx, {2, 4, 3}, 8);
  // Three labels with two repeats need five frames.
  const auto said = transcripts_of(ctx, std::vector<Labels>{{1, 2}, {2, 2, 2}});
  CHECK_THROWS_WITH(ctc(x, said), "ctc: utterance 1 has 4 frames, but its 3 labels need 5");

  const auto left_out = ctc(x, said, {.impossible = Impossible::zero});
  CHECK(values_of(left_out)[1] == 0);
  auto dx = to_vector(ctx.backward(sum(left_out))[x.frames]);
  CHECK(dx[0] != 0);
  for (size_t i = 12; i < 24; ++i) CHECK(dx[i] == 0);

  ctx.train();
  const auto y = logits_of(ctx, {2, 4, 3}, 8);
  const auto infinite = ctc(y, said, {.impossible = Impossible::infinite});
  CHECK(static_cast<double>(values_of(infinite)[1]) == infinity);
  dx = to_vector(ctx.backward(sum(infinite))[y.frames]);
  for (size_t i = 0; i < 24; ++i) CHECK(std::isnan(dx[i]) == (i >= 12));
}

TEST_CASE("CTC takes classes that cannot be", "[losses]") {
  Context<Cpu> ctx;
  ctx.train();
  // Class 2 never: its label has no path, others go on.
  std::vector<double> x = normal(Shape<3>{2, 3, 3}, 9).data;
  for (size_t i = 2; i < x.size(); i += 3) x[i] = -infinity;
  const auto v = ctx.variable(input(ctx, Shape<3>{2, 3, 3}, x).tensor());
  const auto loss = ctc(Sequence<Cpu>{v, {}, 0}, transcripts_of(ctx, std::vector<Labels>{{1}, {2}}),
                        {.impossible = Impossible::zero});
  CHECK(values_of(loss)[0] > 0);
  CHECK(values_of(loss)[1] == 0);
  for (const float g : to_vector(ctx.backward(sum(loss))[v])) CHECK(std::isfinite(g));
}

TEST_CASE("CTC says what does not fit", "[losses]") {
  Context<Cpu> ctx;
  const auto x = logits_of(ctx, {2, 4, 3}, 1);
  const auto said = [&](const std::vector<Labels>& lists) { return transcripts_of(ctx, lists); };
  CHECK_THROWS_WITH(ctc(x, said({{1}})), "ctc: there are 1 transcripts for logits of shape (2, 4, 3)");
  CHECK_THROWS_WITH(ctc(x, said({{1}, {1}}), {.blank = 3}), "ctc: the blank 3 is none of the 3 classes");
  CHECK_THROWS_WITH(ctc(x, said({{1}, {2, 0}})),
                    "ctc: label 1 of utterance 1 is 0, but must be one of the 3 classes other than the blank 0");
  CHECK_THROWS_AS(ctc(x, said({{3}, {1}})), ShapeError);
  CHECK_THROWS_AS(ctc(x, said({{-1}, {1}})), ShapeError);
  CHECK(item(ctc_loss(Sequence<Cpu>{ctx.constant(ctx.zeros(Shape<3>{0, 4, 3})), {}, 0}, said({}))) == 0);
}
