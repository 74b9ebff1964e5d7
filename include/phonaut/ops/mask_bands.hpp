#pragma once
// Hiding whole frames and whole channels of features behind one value per utterance.
#include "phonaut/core/param.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

/// Entries begin … end - 1.
struct Span {
  long begin = 0, end = 0;
};

/// What is hidden of each utterance of a batch; spans may overlap or be empty.
struct Bands {
  std::vector<std::vector<Span>> frames, channels;  ///< (N) lists each
};

namespace kernel {

/// Inside an utterance, y = value where `frame` (N, T) or `channel` (N, C) is not 0; otherwise, and behind its end,
/// y = x.
template <class S>
void mask_bands_forward(const Reference&, View<const S, 3> x, const long* lengths, View<const S, 2> frame,
                        View<const S, 2> channel, View<const S, 1> value, View<S, 3> y) {
  for (long n = 0; n < x.shape[0]; ++n)
    for (long t = 0; t < x.shape[1]; ++t) {
      const bool inside = t < (lengths ? lengths[n] : x.shape[1]), all = frame(n, t) != S(0);
      for (long c = 0; c < x.shape[2]; ++c)
        y(n, t, c) = inside && (all || channel(n, c) != S(0)) ? value.data[n] : x(n, t, c);
    }
}
/// dx = dy where nothing is hidden, else 0;  dvalue = Σ of the hidden dy.
template <class S>
void mask_bands_backward(const Reference&, View<const S, 3> dy, const long* lengths, View<const S, 2> frame,
                         View<const S, 2> channel, Sink<S, 3> dx, Sink<S, 1> dvalue) {
  const long time = dy.shape[1], channels = dy.shape[2];
  for (long n = 0; n < dy.shape[0]; ++n) {
    Wide<S> total = 0;
    for (long t = 0; t < time; ++t) {
      const bool inside = t < (lengths ? lengths[n] : time), all = frame(n, t) != S(0);
      for (long c = 0; c < channels; ++c) {
        const bool hidden = inside && (all || channel(n, c) != S(0));
        if (hidden) total += Wide<S>(dy(n, t, c));
        if (dx) dx.put((n * time + t) * channels + c, hidden ? S(0) : dy(n, t, c));
      }
    }
    if (dvalue) dvalue.put(n, S(total));
  }
}

void mask_bands_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, View<const float, 2> frame,
                        View<const float, 2> channel, View<const float, 1> value, View<float, 3> y);
void mask_bands_backward(const Cuda& cuda, View<const float, 3> dy, const long* lengths, View<const float, 2> frame,
                         View<const float, 2> channel, Sink<float, 3> dx, Sink<float, 1> dvalue);

}  // namespace kernel

namespace detail {

/// 1 where one of `spans[n]` is, 0 elsewhere: (N, extent).
template <class B>
Var<B, 2> span_marks(Context<B>& ctx, const char* what, long batch, long extent,
                     const std::vector<std::vector<Span>>& spans) {
  if (static_cast<long>(spans.size()) != batch)
    throw ShapeError(concat("mask_bands: there are ", spans.size(), " lists of ", what, " for ", batch, " utterances"));
  std::vector<float> marks(static_cast<size_t>(batch * extent), 0.0f);
  for (long n = 0; n < batch; ++n)
    for (const Span& span : spans[static_cast<size_t>(n)]) {
      if (span.begin < 0 || span.end < span.begin || span.end > extent)
        throw ShapeError(concat("mask_bands: ", what, " ", span.begin, " … ", span.end, " of utterance ", n,
                                " are not within 0 … ", extent));
      std::fill(marks.begin() + n * extent + span.begin, marks.begin() + n * extent + span.end, 1.0f);
    }
  return input(ctx, Shape<2>{batch, extent}, marks);
}

}  // namespace detail

/// x (N, T, C) with the frames and channels of `bands` replaced by value[n]; frames behind an utterance's length stay.
/// Throws ShapeError for spans that are not there, or for another number of lists or values than utterances.
template <class B>
Sequence<B> mask_bands(const Sequence<B>& in, const Bands& bands, const Var<B, 1>& value) {
  check_lengths("mask_bands", in);
  const Var<B, 3> x = in.frames;
  auto& ctx = x.context();
  if (value.extent(0) != in.batch())
    throw ShapeError(concat("mask_bands: there are ", value.extent(0), " values for ", in.batch(), " utterances"));
  const Var<B, 2> frame = detail::span_marks(ctx, "frames", in.batch(), in.time(), bands.frames),
                  channel = detail::span_marks(ctx, "channels", in.batch(), in.channels(), bands.channels);
  auto y = ctx.empty(x.shape());
  kernel::mask_bands_forward(ctx.backend(), x.in(), in.length_data(), frame.in(), channel.in(), value.in(), y.out());
  return in.with(record(
      std::move(y),
      [x = target(x), value = target(value), frame, channel, lengths = in.lengths](Context<B>& c,
                                                                                   const Tensor<B, 3>& dy) {
        kernel::mask_bands_backward(c.backend(), dy.in(), lengths ? lengths.data() : nullptr, frame.in(), channel.in(),
                                    c.sink(x), c.sink(value));
      },
      x, value));
}

}  // namespace phonaut
