#pragma once
// Stretching one part of an utterance and squeezing the rest, by cubic interpolation over time.
#include <math.h>

#include <algorithm>

#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// Where frame t of a warped utterance comes from: four neighbours and their weights (Keys' cubic kernel, a = -3/4).
/// The frames before `centre` fill those before `to`, the others the rest; each part is resized on its own, with
/// half-pixel centres and its edges repeated.
struct WarpedFrame {
  long from[4];
  double weight[4];

  PHONAUT_HD PHONAUT_INLINE WarpedFrame(long time, long centre, long to, long t) {
    const bool left = t < to;
    const long begin = left ? 0 : centre, had = left ? centre : time - centre, has = left ? to : time - to;
    const double at =
        (static_cast<double>(left ? t : t - to) + 0.5) * static_cast<double>(had) / static_cast<double>(has) - 0.5;
    const double whole = ::floor(at), f = at - whole;
    constexpr double a = -0.75;
    const auto far = [](double x) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; };  // 1 <= x <= 2
    const auto near = [](double x) { return ((a + 2) * x - (a + 3)) * x * x + 1; };       // 0 <= x <= 1
    const double w[4] = {far(1 + f), near(f), near(1 - f), far(2 - f)};
    for (long k = 0; k < 4; ++k) {
      const long at_k = static_cast<long>(whole) - 1 + k;
      from[k] = begin + (at_k < 0 ? 0 : at_k < had ? at_k : had - 1);
      weight[k] = w[k];
    }
  }
};

/// y[n, t] = Σ weights · neighbours; x itself behind the end, and where centre and to are the same.
template <class S>
void warp_time_forward(const Reference&, View<const S, 3> x, const long* lengths, const long* centre, const long* to,
                       View<S, 3> y) {
  using W = Wide<S>;
  for (long n = 0; n < x.shape[0]; ++n) {
    const long time = lengths ? lengths[n] : x.shape[1];
    for (long t = 0; t < x.shape[1]; ++t) {
      if (t >= time || centre[n] == to[n]) {
        std::copy_n(&x(n, t, 0), x.shape[2], &y(n, t, 0));
        continue;
      }
      const WarpedFrame f(time, centre[n], to[n], t);
      for (long c = 0; c < x.shape[2]; ++c) {
        W total = 0;
        for (long k = 0; k < 4; ++k) total += W(f.weight[k]) * W(x(n, f.from[k], c));
        y(n, t, c) = S(total);
      }
    }
  }
}
/// dx[n, neighbour] += weight · dy[n, t].
template <class S>
void warp_time_backward(const Reference&, View<const S, 3> dy, const long* lengths, const long* centre, const long* to,
                        Sink<S, 3> dx) {
  if (!dx.add) std::fill_n(dx.data, dx.size(), S(0));
  for (long n = 0; n < dy.shape[0]; ++n) {
    const long time = lengths ? lengths[n] : dy.shape[1];
    for (long t = 0; t < dy.shape[1]; ++t) {
      if (t >= time || centre[n] == to[n]) {
        for (long c = 0; c < dy.shape[2]; ++c) dx(n, t, c) += dy(n, t, c);
        continue;
      }
      const WarpedFrame f(time, centre[n], to[n], t);
      for (long k = 0; k < 4; ++k)
        for (long c = 0; c < dy.shape[2]; ++c) dx(n, f.from[k], c) += S(f.weight[k]) * dy(n, t, c);
    }
  }
}

void warp_time_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, const long* centre,
                       const long* to, View<float, 3> y);
void warp_time_backward(const Cuda& cuda, View<const float, 3> dy, const long* lengths, const long* centre,
                        const long* to, Sink<float, 3> dx);

}  // namespace kernel

/// Each utterance of x (N, T, C) with its frame centre[n] moved to frame to[n]: the parts before and behind are resized
/// by cubic interpolation, and the length stays. centre[n] == to[n] leaves an utterance as it is. Throws ShapeError
/// unless both are between 1 and the length - 1, or for another number of them than utterances.
template <class B>
Sequence<B> warp_time(const Sequence<B>& in, const Lengths& centre, const Lengths& to) {
  check_lengths("warp_time", in);
  if (centre.extent(0) != in.batch() || to.extent(0) != in.batch())
    throw ShapeError(concat("warp_time: there are ", centre.extent(0), " and ", to.extent(0), " frames to move for ",
                            in.batch(), " utterances"));
  for (long n = 0; n < in.batch(); ++n) {
    const long from = centre.data()[n], at = to.data()[n], last = in.length(n) - 1;
    if (from != at && (std::min(from, at) < 1 || std::max(from, at) > last))
      throw ShapeError(concat("warp_time: frame ", from, " of utterance ", n, " cannot move to ", at,
                              ": both must be in 1 … ", last));
  }
  const Var<B, 3> x = in.frames;
  auto& ctx = x.context();
  auto y = ctx.empty(x.shape());
  kernel::warp_time_forward(ctx.backend(), x.in(), in.length_data(), centre.data(), to.data(), y.out());
  return in.with(record(
      std::move(y),
      [x = target(x), lengths = in.lengths, centre, to](Context<B>& c, const Tensor<B, 3>& dy) {
        if (auto dx = c.sink(x))
          kernel::warp_time_backward(c.backend(), dy.in(), lengths ? lengths.data() : nullptr, centre.data(), to.data(),
                                     dx);
      },
      x));
}

}  // namespace phonaut
