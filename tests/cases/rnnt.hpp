#include "case.hpp"
#include "phonaut/losses/rnnt_smoothed.hpp"
#include "phonaut/losses/transducer_topology.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(rnnt) {
  using Labels = std::vector<std::vector<long>>;
  // The loss is summed up in double over arcs that were rounded once, up to a few ulp of numbers as large as the
  // logits; gradients are differences of probabilities, which have the error of their exponents.
  const Limits limits{.tolerance = 8 * eps, .gradient = 32 * eps};
  const auto some = [](long length, long classes, long blank) {
    std::vector<long> labels;
    for (long u = 0; u < length; ++u) labels.push_back((u / 2 * 3 + blank + 1 + u % 2) % classes);
    for (long& v : labels)
      if (v == blank) v = (blank + 1) % classes;
    return labels;
  };
  const auto full = [&](const std::string& name, const Shape<4>& shape, const Labels& labels,
                        const std::vector<long>& lengths, long blank) {
    add(
        name, inputs(normal(shape, 1, 2)),
        [=](const auto& x) {
          auto& ctx = x.context();
          return rnnt(x, transcripts_of(ctx, labels), lengths_of(ctx, lengths), blank);
        },
        limits);
  };
  full("2x5x4x6", {2, 5, 4, 6}, {some(3, 6, 0), some(1, 6, 0)}, {5, 3}, 0);
  full("blank last", {2, 4, 3, 17}, {some(2, 17, 16), some(2, 17, 16)}, {4, 1}, 16);
  full("no labels, no frames", {3, 3, 2, 4}, {{}, {1}, {}}, {3, 3, 0}, 0);
  full("one of everything", {1, 1, 1, 1}, {{}}, {1}, 0);

  for (const auto topology : {TransducerTopology::modified, TransducerTopology::constrained}) {
    const bool modified = topology == TransducerTopology::modified;
    const Labels labels = {some(3, 6, 0), some(1, 6, 0), {}};
    add(
        modified ? "modified" : "constrained", inputs(normal(Shape<4>{3, 5, 4, 6}, 1, 2)),
        [=](const auto& x) {
          auto& ctx = x.context();
          const auto frames = lengths_of(ctx, std::vector<long>{5, 3, 2});
          return rnnt(x, transcripts_of(ctx, labels), frames, 0, topology);
        },
        limits);
    add(
        modified ? "modified, pruned" : "constrained, pruned", inputs(normal(Shape<4>{3, 5, 2, 6}, 1, 2)),
        [=](const auto& x) {
          auto& ctx = x.context();
          using B = typename std::remove_cvref_t<decltype(ctx)>::Backend;
          // One node further with every frame, to the last two of each utterance.
          const NodeWindows<B> windows{
              numbers(ctx, Shape<2>{3, 5}, [](long i) { return std::min(i % 5, i / 5 == 0 ? 2L : 0L); }), 2};
          return rnnt_pruned(x, windows, transcripts_of(ctx, labels), lengths_of(ctx, std::vector<long>{5, 3, 2}), 0,
                             topology);
        },
        limits);
  }
  for (const SmoothedJoiner shares : {SmoothedJoiner{0, 0.25}, SmoothedJoiner{0.2, 0.1}})
    add(
        concat("smoothed joiner, ", shares.encoder_only, " and ", shares.decoder_only),
        inputs(normal(Shape<3>{2, 7, 5}, 1, 2), normal(Shape<3>{2, 4, 5}, 2, 2)),
        [=](const auto& am, const auto& lm) {
          auto& ctx = am.context();
          const auto transcripts = transcripts_of(ctx, Labels{{1, 1, 4}, {2}});
          return transducer(smoothed_joiner_arcs(am, lm, transcripts, shares), transcripts,
                            lengths_of(ctx, std::vector<long>{7, 3}), TransducerTopology::modified);
        },
        limits);

  for (const long range : {2L, 3L, 9L}) {
    const Labels labels = {some(5, 7, 0), some(2, 7, 0), {}};
    const std::vector<long> lengths = {9, 4, 3};
    const long width = std::min(range, 6L);
    add(
        "pruned to " + std::to_string(range), inputs(normal(Shape<4>{3, 9, width, 7}, 1, 2)),
        [=](const auto& x) {
          auto& ctx = x.context();
          const auto transcripts = transcripts_of(ctx, labels);
          const Lengths frames = lengths_of(ctx, lengths);
          // The same window for every backend: a straight line through the lattice.
          using B = typename std::remove_cvref_t<decltype(ctx)>::Backend;
          const auto first = [&](long i) {
            const long n = i / 9,
                       last = std::max(0L, static_cast<long>(labels[static_cast<size_t>(n)].size()) + 1 - width);
            const long time = lengths[static_cast<size_t>(n)], t = std::min(i % 9, time - 1);
            return time > 1 ? (last * t + time - 2) / (time - 1) : last;
          };
          const NodeWindows<B> windows{numbers(ctx, Shape<2>{3, 9}, first), width};
          return rnnt_pruned(x, windows, transcripts, frames);
        },
        limits);
  }
  add(
      "simple joiner", inputs(normal(Shape<3>{2, 7, 5}, 1, 2), normal(Shape<3>{2, 4, 5}, 2, 2)),
      [=](const auto& am, const auto& lm) {
        auto& ctx = am.context();
        const auto transcripts = transcripts_of(ctx, Labels{{1, 1, 4}, {2}});
        const auto arcs = simple_joiner_arcs(am, lm, transcripts);
        return transducer(arcs.symbols, arcs.blanks, transcripts, lengths_of(ctx, std::vector<long>{7, 3}));
      },
      limits);
  add("nodes of windows", inputs(normal(Shape<3>{2, 4, 3}, 1)),
      [=](const auto& x) {
        using B = typename std::remove_cvref_t<decltype(x.context())>::Backend;
        const NodeWindows<B> windows{numbers(x.context(), Shape<2>{2, 5}, [](long i) { return i % 3; }), 2};
        return window_nodes(x, windows);
      },
      {.tolerance = eps});
  // Four utterances of 10 s at 25 Hz, 500 word pieces, 40 of them spoken, 5 nodes a frame.
  const auto said = some(40, 500, 0);
  add("pruned 4x250x5x500", inputs(normal(Shape<4>{4, 250, 5, 500}, 1, 2)),
      [=](const auto& x) {
        auto& ctx = x.context();
        using B = typename std::remove_cvref_t<decltype(ctx)>::Backend;
        const NodeWindows<B> windows{numbers(ctx, Shape<2>{4, 250}, [](long i) { return i % 250 * 36 / 249; }), 5};
        return rnnt_pruned(x, windows, transcripts_of(ctx, Labels{said, said, said, said}));
      },
      {.bytes = 4.0 * 4 * 250 * 5 * 500, .check = false});
}

}  // namespace
