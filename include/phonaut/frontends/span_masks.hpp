#pragma once
// Which frames masked prediction hides: spans of equal length at random places. A. Baevski et al., "wav2vec 2.0", 2020;
// counts as in the widely used implementations.
#include <algorithm>
#include <numeric>
#include <vector>

#include "phonaut/core/sequence.hpp"

namespace phonaut {

struct SpanMasks {
  double probability =
      0.65;        ///< of a frame to be in a span, if spans did not overlap: about 49 % are, with the default
  long span = 10;  ///< frames
  long least = 2;  ///< spans in each utterance, where it has room for them
};

/// Spans for an utterance of `length` frames in a batch of `padded` ones: probability · length / span, rounded up with
/// the probability of its fraction (`rounding`, uniform in [0, 1), is drawn once for a batch), but no more than fit.
inline long span_count(const SpanMasks& o, long length, long padded, double rounding) {
  long count = std::max(
      static_cast<long>(o.probability * static_cast<double>(length) / static_cast<double>(o.span) + rounding), o.least);
  if (count * o.span > padded) count = padded / o.span;
  return std::min(count, std::max(0L, length - o.span + 1));
}

/// 1 in the `span` frames from each of `starts` on, as far as there are so many, 0 elsewhere.
inline void mark_spans(const std::vector<long>& starts, long span, long time, char* marks) {
  std::fill_n(marks, time, char(0));
  for (const long start : starts) std::fill(marks + start, marks + std::min(time, start + span), char(1));
}

/// Marks (N · T, row-major, 1: hidden) for `replace_frames`, `marked_rows` and masked losses over x. Starts are drawn
/// without replacement, so spans may overlap; padding is never hidden. Draws come from the context. Throws ConfigError
/// for a span below 1 or a probability outside of [0, 1].
template <class B>
std::vector<char> draw_span_masks(const Sequence<B>& x, const SpanMasks& o = {}) {
  check_lengths("span_masks", x);
  if (o.span < 1 || !(o.probability >= 0 && o.probability <= 1))
    throw ConfigError(concat("span_masks: spans need at least 1 frame and a probability in [0, 1], got ", o.span,
                             " and ", o.probability));
  const long time = x.time(), most = time / o.span + o.least + 1;
  const Draws draws = x.context().random().take(1 + x.batch() * most);
  const double rounding = draws.uniform(0);
  std::vector<char> marks(static_cast<size_t>(x.batch() * time));
  for (long n = 0; n < x.batch(); ++n) {
    const long length = x.length(n), count = span_count(o, length, time, rounding);
    // The first entries of a shuffle of all places.
    std::vector<long> starts(static_cast<size_t>(std::max(0L, length - o.span + 1)));
    std::iota(starts.begin(), starts.end(), 0L);
    const long places = static_cast<long>(starts.size());
    for (long k = 0; k < count; ++k)
      std::swap(starts[static_cast<size_t>(k)],
                starts[static_cast<size_t>(k + draws.below(places - k, 1 + n * most + k))]);
    starts.resize(static_cast<size_t>(count));
    mark_spans(starts, o.span, time, marks.data() + n * time);
  }
  return marks;
}

}  // namespace phonaut
