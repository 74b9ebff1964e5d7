// Handlers of losses over sequences of labels.
#include "phonaut/losses/ctc.hpp"
#include "registry.hpp"

namespace phonaut::golden {
namespace {

const Register ctc_op("loss.ctc", [](auto& g) {
  if (g.config.text("layout", "T B V") != "T B V") throw Unsupported("the layout " + g.config.text("layout"));
  const auto logits = g.sequence("logits", "TNC", g.integers("input.input_lengths"));
  const auto padded = g.integers("input.targets"), lengths = g.integers("input.target_lengths");
  const long width = g.shape("input.targets")[1];
  std::vector<std::vector<long>> labels;
  for (size_t n = 0; n < lengths.size(); ++n) {
    const auto first = padded.begin() + static_cast<long>(n) * width;
    labels.emplace_back(first, first + lengths[n]);
  }
  const CtcOptions options{
      .blank = g.config.integer("blank", 0),
      .impossible = g.config.flag("zero_infinity", false) ? Impossible::zero : Impossible::infinite};
  const auto transcripts = transcripts_of(g.context(), labels);
  g.output("per_item", g.context().detach(ctc(logits, transcripts, options)));
  // "none then sum", or torch's "mean".
  const auto reduction = g.config.text("reduction", "sum") == "mean" ? Reduction::mean : Reduction::sum;
  g.output("loss", ctc_loss(logits, transcripts, reduction, options));
});

}  // namespace
}  // namespace phonaut::golden
