// Handlers of the transducer losses.
#include "golden.hpp"
#include "phonaut/losses/rnnt_smoothed.hpp"
#include "phonaut/losses/transducer_topology.hpp"

namespace phonaut::golden {
namespace {

/// Labels of each utterance from a matrix of targets (N, U), padded.
template <class B>
Transcripts<B> transcripts_in(Golden<B>& g, const std::vector<long>& lengths) {
  const auto targets = g.integers("input.targets");
  const auto width = static_cast<long>(targets.size() / lengths.size());
  std::vector<std::vector<long>> lists;
  for (size_t n = 0; n < lengths.size(); ++n) {
    const auto row = targets.begin() + static_cast<long>(n) * width;
    lists.emplace_back(row, row + lengths[n]);
  }
  return transcripts_of(g.context(), lists);
}
/// (U, T) as the files have it, from utterance 0 of (N, T, U).
template <class T>
std::vector<double> node_first(const T& arcs) {
  std::vector<double> out;
  for (long s = 0; s < arcs.shape[2]; ++s)
    for (long t = 0; t < arcs.shape[1]; ++t) out.push_back(static_cast<double>(arcs(0, t, s)));
  return out;
}

const Register rnnt_op("loss.rnnt", [](auto& g) {
  const auto logits = g.input("logits", rank<4>);
  const auto transcripts = transcripts_in(g, g.integers("input.target_lengths"));
  const auto losses =
      rnnt(logits, transcripts, lengths_of(g.context(), g.integers("input.input_lengths")), g.config.integer("blank"));
  g.output("per_item", losses);
  g.output("loss", sum(losses));
});

const Register rnnt_pruned_op("loss.rnnt_pruned", [](auto& g) {
  const std::string kind = g.config.text("kind", "regular");
  using enum TransducerTopology;
  if (kind != "regular" && kind != "modified" && kind != "constrained") throw Unsupported("the lattice " + kind);
  const auto topology = kind == "regular" ? regular : kind == "modified" ? modified : constrained;
  const auto transcripts = transcripts_in(g, {static_cast<long>(g.integers("input.targets").size())});
  const long blank = g.config.integer("blank");
  const auto batched = [](const auto& x) { return reshape(x, Shape<3>{1, x.extent(0), x.extent(1)}); };
  const auto arcs = smoothed_joiner_arcs(
      batched(g.input("am", rank<2>)), batched(g.input("lm", rank<2>)), transcripts,
      {.encoder_only = g.config.number("am_only_scale", 0), .decoder_only = g.config.number("lm_only_scale", 0)},
      blank);
  auto symbols = node_first(arcs.symbols.in());
  if (topology == constrained) {  // where k2 adds the blank behind a label to the arc itself
    const auto behind = node_first(slice(arcs.blanks, 2, 1, arcs.blanks.extent(2)).in());
    for (size_t i = 0; i < symbols.size(); ++i) symbols[i] += behind[i];
  }
  g.output("px", symbols);
  g.output("py", node_first(arcs.blanks.in()));
  const auto simple = sum(transducer(arcs, transcripts, {}, topology));
  g.output("simple_loss", g.context().detach(simple));
  g.loss_of("simple", simple);

  const auto taken = transducer_occupancies(arcs, transcripts, {}, topology);
  g.output("px_occupancy", node_first(taken.symbols.in()));
  g.output("py_occupancy", node_first(taken.blanks.in()));
  const auto windows = prune_windows(g.context(), taken, transcripts, g.config.integer("s_range"), {}, topology);
  g.output("s_begin", std::vector<long>(windows.data(), windows.data() + windows.first.size()));

  const auto logits = g.input("pruned_logits", rank<3>);
  const auto pruned =
      sum(rnnt_pruned(reshape(logits, Shape<4>{1, logits.extent(0), logits.extent(1), logits.extent(2)}), windows,
                      transcripts, {}, blank, topology));
  g.output("pruned_loss", g.context().detach(pruned));
  g.loss_of("", pruned);
});

}  // namespace
}  // namespace phonaut::golden
