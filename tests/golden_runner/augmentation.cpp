// Handlers of what is hidden from a model in training.
#include "phonaut/frontends/span_masks.hpp"
#include "phonaut/frontends/spec_augment.hpp"
#include "registry.hpp"

namespace phonaut::golden {
namespace {

template <class B>
std::vector<Span> spans_of(Golden<B>& g, const std::string& key) {
  std::vector<Span> spans;
  const auto values = g.integers(key);
  for (size_t i = 0; i + 1 < values.size(); i += 2) spans.push_back({values[i], values[i + 1]});
  return spans;
}

const Register spec_augment_op("frontend.spec_augment", [](auto& g) {
  auto& ctx = g.context();
  const auto rows = g.input("x", rank<2>);
  const auto x = sequence_of(reshape(rows, Shape<3>{1, rows.extent(0), rows.extent(1)}), std::vector{rows.extent(0)});
  const Bands bands{{spans_of(g, "input.time_spans")}, {spans_of(g, "input.freq_spans")}};
  g.output("zero_filled", mask_bands(x, bands, ctx.constant(ctx.zeros(Shape<1>{1}))), "NTF");
  g.output("mean_filled", mask_bands(x, bands, mean_last(mean_over_time(x))), "NTF");
  const auto frame = [&](const char* key) { return lengths_of(ctx, std::vector{g.config.integer(key)}); };
  g.output("time_warped", warp_time(x, frame("warp_centre"), frame("warp_to")), "NTF");
});

const Register span_masks_op("frontend.span_masks", [](auto& g) {
  const auto table = g.integers("input.table");
  std::vector<long> counts;
  for (size_t i = 0; i < table.size(); i += 5) {
    const SpanMasks options{
        .probability = static_cast<double>(table[i + 1]) / 100, .span = table[i + 2], .least = table[i + 4]};
    counts.push_back(
        span_count(options, table[i], g.config.integer("sequence_length"), static_cast<double>(table[i + 3]) / 1000));
  }
  g.output("num_spans", counts);
  std::vector<char> marks(static_cast<size_t>(g.config.integer("mask_length")));
  mark_spans(g.integers("input.starts"), g.config.integer("span"), g.config.integer("mask_length"), marks.data());
  g.output("mask", std::vector<long>(marks.begin(), marks.end()));
});

}  // namespace
}  // namespace phonaut::golden
