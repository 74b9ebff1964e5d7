// Transducers with one label in a frame at most, and joiners that listen to one side: against all paths counted one by
// one, and against the formula written out.
#include <cmath>

#include "catch.hpp"
#include "phonaut/losses/rnnt_smoothed.hpp"
#include "phonaut/losses/transducer_topology.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

using Lists = std::vector<std::vector<long>>;
using enum TransducerTopology;

template <class B, size_t R>
Var<B, R> draws(Context<B>& ctx, const Shape<R>& shape, std::uint64_t seed, double deviation = 1) {
  const auto values = normal(shape, seed, deviation);
  return input(ctx, shape, values.data);
}

/// Σ of the probabilities of all paths from node (t, s) on, one by one.
double all_paths(TransducerTopology topology, const View<const double, 4>& logits, const std::vector<long>& labels,
                 long frames, long t, long s) {
  const long count = static_cast<long>(labels.size());
  if (t == frames) return s == count ? 1 : 0;
  const auto p = [&](long node, long v) {
    double total = 0;
    for (long w = 0; w < logits.extent(3); ++w) total += std::exp(logits(0, t, node, w));
    return std::exp(logits(0, t, node, v)) / total;
  };
  double sum = p(s, 0) * all_paths(topology, logits, labels, frames, t + 1, s);
  if (s == count) return sum;
  const double said = p(s, labels[static_cast<size_t>(s)]);
  if (topology == regular) return sum + said * all_paths(topology, logits, labels, frames, t, s + 1);
  return sum +
         said * (topology == constrained ? p(s + 1, 0) : 1) * all_paths(topology, logits, labels, frames, t + 1, s + 1);
}

}  // namespace

TEST_CASE("every topology adds up its own paths", "[losses]") {
  Context<Reference64> ctx;
  std::uint64_t seed = 1;
  for (const auto topology : {regular, modified, constrained})
    for (const auto& labels : Lists{{}, {2}, {1, 1}, {3, 1, 2}})
      for (const long frames : {1L, 2L, 3L, 5L}) {
        const long count = static_cast<long>(labels.size());
        if (topology != regular && frames < count) continue;
        const auto logits = draws(ctx, Shape<4>{1, frames, count + 1, 4}, seed++, 2);
        const double want = -std::log(all_paths(topology, logits.in(), labels, frames, 0, 0));
        const auto transcripts = transcripts_of(ctx, Lists{labels});
        CHECK(item(sum(rnnt(logits, transcripts, {}, 0, topology))) == Approx(want).epsilon(1e-12));
        const auto arcs = joiner_arcs(logits, {}, transcripts);
        CHECK(item(sum(transducer(arcs, transcripts, {}, topology))) == Approx(want).epsilon(1e-12));
      }
}

TEST_CASE("in every topology an utterance has the same loss and gradient alone and in a batch", "[losses]") {
  Context<Cpu> ctx;
  ctx.poison(true);
  ctx.train();
  const Lists labels = {{1, 2, 2}, {}, {3}, {}};
  const std::vector<long> frames = {6, 3, 1, 0};
  for (const auto topology : {modified, constrained}) {
    const auto logits = ctx.variable(draws(ctx, Shape<4>{4, 6, 4, 5}, 3, 2).tensor());
    const auto all = rnnt(logits, transcripts_of(ctx, labels), lengths_of(ctx, frames), 0, topology);
    const auto together = values_of(all);
    CHECK(together[3] == 0);
    const auto gradients = ctx.backward(sum(all));
    const Tensor<Cpu, 4> of_all = gradients[logits];
    for (size_t n = 0; n < labels.size(); ++n) {
      const long nodes = static_cast<long>(labels[n].size()) + 1, at = static_cast<long>(n);
      const auto part = slice(slice(slice(ctx.constant(logits.tensor()), 0, at, at + 1), 1, 0, frames[n]), 2, 0, nodes);
      const auto x = ctx.variable(packed(part).tensor());
      const auto one = rnnt(x, transcripts_of(ctx, Lists{labels[n]}), {}, 0, topology);
      CHECK(values_of(one)[0] == together[n]);
      Tensor<Cpu, 4> of_one;
      if (frames[n] > 0) of_one = ctx.backward(sum(one))[x];
      else ctx.clear();
      for (long t = 0; t < 6; ++t)
        for (long s = 0; s < 4; ++s)
          for (long v = 0; v < 5; ++v)
            CHECK(of_all.in()(at, t, s, v) == (t < frames[n] && s < nodes ? of_one.in()(0, t, s, v) : 0.0f));
    }
  }
}

TEST_CASE("occupancies say how often an arc is taken, and windows leave a path", "[losses]") {
  Context<Cpu> ctx;
  for (const auto topology : {modified, constrained})
    for (int i = 0; i < 20; ++i) {
      const auto u = [&](long n) { return ctx.random().take(1).below(n, 0); };
      const long time = 4 + u(20), range = 2 + u(4);
      Lists labels;
      std::vector<long> frames;
      long longest = 0;
      for (long n = 0; n < 3; ++n) {
        frames.push_back(n == 0 ? time : 1 + u(time));
        labels.emplace_back(static_cast<size_t>(u(frames.back() + 1)), 1 + u(4));
        longest = std::max(longest, static_cast<long>(labels.back().size()));
      }
      const auto transcripts = transcripts_of(ctx, labels);
      const Lengths lengths = lengths_of(ctx, frames);
      const auto arcs = simple_joiner_arcs(
          draws(ctx, Shape<3>{3, time, 5}, static_cast<std::uint64_t>(i) + 1, 3),
          draws(ctx, Shape<3>{3, longest + 1, 5}, static_cast<std::uint64_t>(i) + 100, 3), transcripts);
      const auto taken = transducer_occupancies(arcs, transcripts, lengths, topology);
      const auto windows = prune_windows(ctx, taken, transcripts, range, lengths, topology);
      const auto losses =
          rnnt_pruned(draws(ctx, Shape<4>{3, time, windows.width, 5}, 7), windows, transcripts, lengths, 0, topology);
      for (long n = 0; n < 3; ++n) {
        const long count = static_cast<long>(labels[static_cast<size_t>(n)].size()),
                   own = frames[static_cast<size_t>(n)];
        // Every frame is left once, by a label or by a blank; every label is said once.
        double symbols = 0;
        for (long t = 0; t < time; ++t) {
          double left = 0;
          for (long s = 0; s <= longest; ++s) left += static_cast<double>(taken.blanks.in()(n, t, s));
          for (long s = 0; s < longest; ++s) {
            left += static_cast<double>(taken.symbols.in()(n, t, s));
            symbols += static_cast<double>(taken.symbols.in()(n, t, s));
          }
          CHECK(left == Approx(t < own ? 1 : 0).margin(1e-5));
        }
        CHECK(symbols == Approx(static_cast<double>(count)).epsilon(1e-5).margin(1e-6));
        const std::int32_t* first = windows.data() + n * time;
        CHECK(first[0] == 0);
        CHECK(first[own - 1] == std::max(0L, count + 1 - windows.width));
        for (long t = 1; t < own; ++t) CHECK((first[t] == first[t - 1] || first[t] == first[t - 1] + 1));
        CHECK(std::isfinite(values_of(losses)[static_cast<size_t>(n)]));
      }
    }
}

TEST_CASE("smoothed arcs are the mean of three logarithms", "[losses]") {
  Context<Reference64> ctx;
  const long time = 4, nodes = 3, classes = 5;
  const auto am = draws(ctx, Shape<3>{2, time, classes}, 1, 2), lm = draws(ctx, Shape<3>{2, nodes, classes}, 2, 2);
  const Lists labels = {{3, 1}, {2}};  // the last node of the second utterance is none
  const auto transcripts = transcripts_of(ctx, labels);
  std::vector<double> unigram(classes, 0.0);
  const auto norm = [&](const auto& log_p) {
    double total = 0;
    for (long v = 0; v < classes; ++v) total += std::exp(log_p(v));
    return std::log(total);
  };
  for (const auto& [n, s] : {std::pair{0L, 0L}, {0L, 1L}, {0L, 2L}, {1L, 0L}, {1L, 1L}}) {
    const double total = norm([&, n = n, s = s](long v) { return lm.in()(n, s, v); });
    for (long v = 0; v < classes; ++v) unigram[static_cast<size_t>(v)] += std::exp(lm.in()(n, s, v) - total) / 5;
  }
  for (const auto& shares : {std::pair{0.0, 0.0}, {0.0, 0.25}, {0.1, 0.0}, {0.3, 0.6}}) {
    const double encoder = shares.first, decoder = shares.second;
    const auto arcs = smoothed_joiner_arcs(am, lm, transcripts, {.encoder_only = encoder, .decoder_only = decoder});
    for (long n = 0; n < 2; ++n)
      for (long t = 0; t < time; ++t)
        for (long s = 0; s <= static_cast<long>(labels[static_cast<size_t>(n)].size()); ++s) {
          const auto both = [&](long v) { return am.in()(n, t, v) + lm.in()(n, s, v); };
          const auto one = [&](long v) { return lm.in()(n, s, v); };
          const auto other = [&](long v) { return am.in()(n, t, v) + std::log(unigram[static_cast<size_t>(v)]); };
          const auto mixed = [&](long v) {
            return (1 - encoder - decoder) * (both(v) - norm(both)) + decoder * (one(v) - norm(one)) +
                   encoder * (other(v) - norm(other));
          };
          CHECK(arcs.blanks.in()(n, t, s) == Approx(mixed(0)).epsilon(1e-12));
          if (s < static_cast<long>(labels[static_cast<size_t>(n)].size()))
            CHECK(arcs.symbols.in()(n, t, s) ==
                  Approx(mixed(labels[static_cast<size_t>(n)][static_cast<size_t>(s)])).epsilon(1e-12));
        }
  }
  CHECK_THROWS_AS(smoothed_joiner_arcs(am, lm, transcripts, {.encoder_only = 0.6, .decoder_only = 0.6}), ConfigError);
  CHECK_THROWS_AS(smoothed_joiner_arcs(am, lm, transcripts, {.decoder_only = -0.1}), ConfigError);
}

TEST_CASE("more labels than frames are refused where a frame says one at most", "[losses]") {
  Context<Cpu> ctx;
  const auto logits = draws(ctx, Shape<4>{1, 2, 4, 5}, 1);
  const auto transcripts = transcripts_of(ctx, Lists{{1, 2, 3}});
  CHECK(std::isfinite(item(sum(rnnt(logits, transcripts, {}, 0, regular)))));
  CHECK_THROWS_WITH(
      rnnt(logits, transcripts, {}, 0, modified),
      "transducer: utterance 0 has 3 labels, but only 2 frames; in this topology a frame emits one at most");
  CHECK_THROWS_AS(rnnt(logits, transcripts_of(ctx, Lists{{1}, {2}}), {}, 0, modified), ShapeError);
}
