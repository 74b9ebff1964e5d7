// Handlers of segmentations of frames.
#include "phonaut/units/segments.hpp"
#include "registry.hpp"

namespace phonaut::golden {
namespace {

template <class B>
std::vector<float> frames_of(const Golden<B>& g) {
  const auto x = g.values("input.x");
  return {x.begin(), x.end()};
}
std::vector<long> borders(const std::vector<Segment>& segments) {
  std::vector<long> flat;
  for (const Segment& s : segments) flat.insert(flat.end(), {s.begin, s.end});
  return flat;
}

const Register min_cut_op("quantizer.min_cut_segments", [](auto& g) {
  MinCut options{.segments = g.config.integer("segments"),
                 .shortest = g.config.integer("shortest"),
                 .longest = g.config.integer("longest")};
  const auto x = frames_of(g);
  const long dim = g.shape("input.x")[1];
  g.output("segments", borders(min_cut_segments(x, dim, options)));
  options.merge = g.config.number("merge");
  g.output("merged", borders(min_cut_segments(x, dim, options)));
});

const Register runs_op("quantizer.similar_runs", [](auto& g) {
  g.output("segments",
           borders(similar_runs(frames_of(g), g.shape("input.x")[1],
                                {.least_norm = g.config.number("norm"), .similarity = g.config.number("similarity")})));
});

}  // namespace
}  // namespace phonaut::golden
