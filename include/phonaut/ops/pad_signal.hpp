#pragma once
// Samples around a signal: zeros or its own reflection, at the end of each utterance and not of the batch.
#include "phonaut/core/waveform.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

/// What stands beyond the ends of a signal.
enum class Edge {
  zero,
  reflect,   ///< mirrored, the edge sample not repeated: c b | a b c | b a (STFTs)
  symmetric  ///< mirrored, the edge sample repeated:   b a | a b c | c b (Kaldi)
};

namespace kernel {

/// Which of `length` > 0 samples stands at position `i`; -1 for a zero. Short signals are reflected repeatedly.
PHONAUT_HD PHONAUT_INLINE long mirrored(Edge edge, long i, long length) {
  if (i >= 0 && i < length) return i;
  if (edge == Edge::zero) return -1;
  if (edge == Edge::reflect && length == 1) return 0;
  const long period = edge == Edge::reflect ? 2 * (length - 1) : 2 * length;
  i = (i % period + period) % period;
  if (i < length) return i;
  return edge == Edge::reflect ? period - i : period - 1 - i;
}

/// x (N, samples) -> y (N, left + samples + right or more): `left` samples, the utterance, `right` samples, zeros.
template <class S>
void pad_signal_forward(const Reference&, View<const S, 2> x, const long* lengths, long left, long right, Edge edge,
                        View<S, 2> y) {
  for (long n = 0; n < y.shape[0]; ++n) {
    const long length = lengths ? lengths[n] : x.shape[1];
    const S* const from = x.row(n);
    S* const to = y.row(n);
    if (length <= 0) {  // x may have no memory
      std::fill_n(to, y.shape[1], S(0));
      continue;
    }
    const long end = std::clamp(left + length + right, 0L, y.shape[1]);
    for (long p = 0; p < std::min(left, end); ++p) {
      const long s = mirrored(edge, p - left, length);
      to[p] = s < 0 ? S(0) : from[s];
    }
    const long begin = std::max(0L, left), skipped = begin - left;
    std::copy_n(from + skipped, std::max(0L, std::min(length - skipped, end - begin)), to + begin);
    for (long p = std::max(0L, left + length); p < end; ++p) {
      const long s = mirrored(edge, p - left, length);
      to[p] = s < 0 ? S(0) : from[s];
    }
    std::fill(to + end, to + y.shape[1], S(0));
  }
}
/// The gradient of x: that of its own place, and of every place where it stands mirrored.
template <class S>
void pad_signal_backward(const Reference&, View<const S, 2> dy, const long* lengths, long left, long right, Edge edge,
                         Sink<S, 2> dx) {
  for (long n = 0; n < dy.shape[0]; ++n) {
    const long length = lengths ? lengths[n] : dx.shape[1];
    const S* const from = dy.row(n);
    S* const to = dx.row(n);
    if (length <= 0) {
      if (!dx.add) std::fill_n(to, dx.shape[1], S(0));
      continue;
    }
    const long end = std::clamp(left + length + right, 0L, dy.shape[1]);
    const long skipped = std::max(0L, -left), own = std::max(skipped, std::min(length, end - left));
    if (!dx.add) std::fill(to, to + std::min(skipped, dx.shape[1]), S(0));
    for (long s = skipped; s < own; ++s) to[s] = dx.add ? to[s] + from[left + s] : from[left + s];
    if (!dx.add) std::fill(to + std::min(own, dx.shape[1]), to + dx.shape[1], S(0));
    const auto fold = [&](long p) {
      if (const long s = mirrored(edge, p - left, length); s >= 0) to[s] += from[p];
    };
    for (long p = 0; p < std::min(left, end); ++p) fold(p);
    for (long p = std::max(0L, left + length); p < end; ++p) fold(p);
  }
}

void pad_signal_forward(const Cuda& cuda, View<const float, 2> x, const long* lengths, long left, long right, Edge edge,
                        View<float, 2> y);
void pad_signal_backward(const Cuda& cuda, View<const float, 2> dy, const long* lengths, long left, long right,
                         Edge edge, Sink<float, 2> dx);

}  // namespace kernel

/// `left` and `right` samples around each utterance of x, then zeros up to `total` samples; what does not fit is cut
/// off. A negative `left` drops samples at the start. An utterance of no samples is all zeros. Throws ShapeError for
/// negative sizes.
template <class B>
Var<B, 2> pad_signal(const Waveform<B>& x, long left, long right, Edge edge, long total) {
  check_lengths("pad_signal", x);
  if (right < 0 || total < 0)
    throw ShapeError(concat("pad_signal: cannot put ", left, " samples before and ", right, " after a signal of shape ",
                            text(x.samples.shape()), " within ", total));
  const Var<B, 2> samples = rowwise(x.samples);
  auto& ctx = samples.context();
  auto y = ctx.empty(Shape<2>{x.batch(), total});
  const Lengths lengths = x.lengths;
  const auto pointer = [](const Lengths& l) { return l ? l.data() : static_cast<const long*>(nullptr); };
  kernel::pad_signal_forward(ctx.backend(), samples.in(), pointer(lengths), left, right, edge, y.out());
  return record(
      std::move(y),
      [=](Context<B>& c, const Tensor<B, 2>& dy) {
        if (auto dx = c.sink(samples))
          kernel::pad_signal_backward(c.backend(), dy.in(), pointer(lengths), left, right, edge, dx);
      },
      samples);
}

}  // namespace phonaut
