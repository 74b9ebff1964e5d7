// The transducer: against all paths counted one by one, pruning that leaves a path, and what cannot be computed.
#include <cmath>

#include "catch.hpp"
#include "phonaut/losses/rnnt_simple.hpp"

using namespace phonaut;

namespace {

using Lists = std::vector<std::vector<long>>;

template <size_t R>
Var<Cpu, R> draws(Context<Cpu>& ctx, const Shape<R>& shape, double deviation = 1) {
  std::vector<double> values = draw(ctx, element_count(shape), Init::normal(deviation));
  return input(ctx, shape, values);
}

/// Σ of the probabilities of all paths from node (t, s) on, one by one.
double all_paths(const View<const float, 4>& logits, const std::vector<long>& labels, long frames, long t, long s) {
  if (t == frames) return s == static_cast<long>(labels.size()) ? 1 : 0;
  double total = 0;
  for (long v = 0; v < logits.extent(3); ++v) total += std::exp(static_cast<double>(logits(0, t, s, v)));
  const auto p = [&](long v) { return std::exp(static_cast<double>(logits(0, t, s, v))) / total; };
  double sum = p(0) * all_paths(logits, labels, frames, t + 1, s);
  if (s < static_cast<long>(labels.size()))
    sum += p(labels[static_cast<size_t>(s)]) * all_paths(logits, labels, frames, t, s + 1);
  return sum;
}

}  // namespace

TEST_CASE("the transducer loss adds up all paths", "[losses]") {
  Context<Cpu> ctx;
  for (const auto& labels : Lists{{}, {2}, {1, 1}, {3, 1, 2}})
    for (const long frames : {1L, 2L, 5L}) {
      const auto logits = draws(ctx, Shape<4>{1, frames, static_cast<long>(labels.size()) + 1, 4}, 2);
      const double want = -std::log(all_paths(logits.in(), labels, frames, 0, 0));
      CHECK(item(sum(rnnt(logits, transcripts_of(ctx, Lists{labels})))) == Approx(want).epsilon(1e-6));
    }
}

TEST_CASE("an utterance has the same transducer loss and gradient alone and in a batch", "[losses]") {
  Context<Cpu> ctx;
  ctx.train();
  const Lists labels = {{1, 2, 2}, {}, {3}};
  const std::vector<long> frames = {6, 3, 1};
  const auto logits = ctx.variable(draws(ctx, Shape<4>{3, 6, 4, 5}, 2).tensor());
  const auto all = rnnt(logits, transcripts_of(ctx, labels), lengths_of(ctx, frames));
  const auto together = values_of(all);
  const auto gradients = ctx.backward(sum(all));
  const Tensor<Cpu, 4> of_all = gradients[logits];
  for (size_t n = 0; n < labels.size(); ++n) {
    const long nodes = static_cast<long>(labels[n].size()) + 1, at = static_cast<long>(n);
    const auto part = slice(slice(slice(ctx.constant(logits.tensor()), 0, at, at + 1), 1, 0, frames[n]), 2, 0, nodes);
    const auto x = ctx.variable(packed(part).tensor());
    const auto one = rnnt(x, transcripts_of(ctx, Lists{labels[n]}));
    CHECK(values_of(one)[0] == together[n]);
    const auto alone = ctx.backward(sum(one));
    const Tensor<Cpu, 4> of_one = alone[x];
    for (long t = 0; t < 6; ++t)
      for (long s = 0; s < 4; ++s)
        for (long v = 0; v < 5; ++v)
          CHECK(of_all.in()(at, t, s, v) == (t < frames[n] && s < nodes ? of_one.in()(0, t, s, v) : 0.0f));
  }
}

TEST_CASE("windows that hold all nodes prune nothing", "[losses]") {
  Context<Cpu> ctx;
  const Lists labels = {{1, 2, 2}, {3}};
  const auto transcripts = transcripts_of(ctx, labels);
  const Lengths frames = lengths_of(ctx, std::vector<long>{5, 4});
  const auto logits = draws(ctx, Shape<4>{2, 5, 4, 5}, 2);
  NodeWindows<Cpu> windows{ctx.empty_of<std::int32_t, 2>({2, 5}), 4};
  std::fill_n(windows.first.data(), 10, 0);
  CHECK(values_of(rnnt_pruned(logits, windows, transcripts, frames)) == values_of(rnnt(logits, transcripts, frames)));
}

TEST_CASE("pruned windows begin at the first node, end at the last and leave a path", "[losses]") {
  Context<Cpu> ctx;
  for (int i = 0; i < 20; ++i) {
    const auto u = [&](long n) { return ctx.random().take(1).below(n, 0); };
    const long time = 4 + u(20), range = 2 + u(4);
    Lists labels;
    std::vector<long> frames;
    long longest = 0;
    for (long n = 0; n < 3; ++n) {
      frames.push_back(n == 0 ? time : 1 + u(time));
      // No more than the windows can pass in so many frames.
      const long most = std::min(12L, (range - 1) * frames.back());
      labels.emplace_back(static_cast<size_t>(u(most + 1)), 1 + u(4));
      longest = std::max(longest, static_cast<long>(labels.back().size()));
    }
    const auto transcripts = transcripts_of(ctx, labels);
    const Lengths lengths = lengths_of(ctx, frames);
    const auto arcs = simple_joiner_arcs(draws(ctx, Shape<3>{3, time, 5}, 3),
                                         draws(ctx, Shape<3>{3, longest + 1, 5}, 3), transcripts);
    const auto taken = transducer_occupancies(arcs.symbols, arcs.blanks, transcripts, lengths);
    const auto windows = prune_windows(ctx, taken, transcripts, range, lengths);
    REQUIRE(windows.width == std::min(range, longest + 1));
    const auto losses = rnnt_pruned(draws(ctx, Shape<4>{3, time, windows.width, 5}), windows, transcripts, lengths);
    for (size_t n = 0; n < 3; ++n) {
      const std::int32_t* first = windows.data() + static_cast<long>(n) * time;
      const long count = static_cast<long>(labels[n].size());
      // What is taken adds up: every frame is left once, every label said once.
      double blanks = 0, symbols = 0;
      for (long t = 0; t < time; ++t) {
        for (long s = 0; s <= longest; ++s)
          blanks += static_cast<double>(taken.blanks.in()(static_cast<long>(n), t, s));
        for (long s = 0; s < longest; ++s)
          symbols += static_cast<double>(taken.symbols.in()(static_cast<long>(n), t, s));
      }
      CHECK(blanks == Approx(static_cast<double>(frames[n])).epsilon(1e-5));
      CHECK(symbols == Approx(static_cast<double>(count)).epsilon(1e-5).margin(1e-6));
      CHECK(first[0] == 0);
      CHECK(first[frames[n] - 1] == std::max(0L, count + 1 - windows.width));
      for (long t = 1; t < frames[n]; ++t) CHECK((first[t] >= first[t - 1] && first[t] - first[t - 1] < range));
      CHECK(std::isfinite(values_of(losses)[n]));
    }
  }
}

TEST_CASE("what a transducer cannot compute is said in one sentence", "[losses]") {
  Context<Cpu> ctx;
  const auto logits = draws(ctx, Shape<4>{2, 3, 2, 4});
  const auto of = [&](const Lists& labels) { return transcripts_of(ctx, labels); };
  const auto lengths = [&](std::vector<long> n) { return lengths_of(ctx, n); };
  CHECK_THROWS_WITH(rnnt(logits, of({{1}})), "rnnt: there are 1 transcripts for a lattice of shape (2, 3, 2)");
  CHECK_THROWS_WITH(rnnt(logits, of({{1}, {1, 2}})),
                    "rnnt: utterance 1 has 2 labels, which need 3 nodes, but the lattice has shape (2, 3, 2)");
  CHECK_THROWS_WITH(rnnt(logits, of({{1}, {2}}), lengths({3, 0})), "rnnt: utterance 1 has 1 labels, but no frame");
  CHECK_THROWS_WITH(rnnt(logits, of({{1}, {4}})),
                    "rnnt: label 0 of utterance 1 is 4, but must be one of the 4 classes other than the blank 0");
  CHECK_THROWS_AS(rnnt(logits, of({{1}, {2}}), {}, 4), ConfigError);
  CHECK_THROWS_AS(rnnt(logits, of({{1}, {2}}), lengths({3, 4})), ShapeError);
  NodeWindows<Cpu> windows{ctx.empty_of<std::int32_t, 2>({2, 3}), 2};
  std::fill_n(windows.first.data(), 6, 0);
  windows.first.data()[4] = 1;
  CHECK_THROWS_WITH(rnnt_pruned(logits, windows, of({{1}, {2}})),
                    "rnnt_pruned: the window of frame 1 of utterance 1 begins at node 1, but 2 of 2 nodes need 0 … 0");
  CHECK_THROWS_AS(window_nodes(draws(ctx, Shape<3>{2, 2, 4}), windows), ShapeError);
  CHECK_THROWS_AS(simple_joiner_arcs(draws(ctx, Shape<3>{1, 3, 4}), draws(ctx, Shape<3>{1, 2, 5}), of({{1}})),
                  ShapeError);
}

TEST_CASE("logits that exclude every path have an infinite loss and no gradient", "[losses]") {
  Context<Cpu> ctx;
  ctx.train();
  auto logits = draws(ctx, Shape<4>{1, 2, 2, 3});
  for (long t = 0; t < 2; ++t)
    for (long s = 0; s < 2; ++s) logits.tensor().out()(0, t, s, 1) = -INFINITY;
  const auto x = ctx.variable(logits.tensor());
  const auto loss = sum(rnnt(x, transcripts_of(ctx, Lists{{1}})));
  CHECK(std::isinf(item(loss)));
  const auto gradients = ctx.backward(loss);
  for (const float g : values_of(ctx, gradients[x])) CHECK(g == 0);
}
