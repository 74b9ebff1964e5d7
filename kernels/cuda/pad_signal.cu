#include "phonaut/ops/pad_signal.hpp"

#include "elementwise.cuh"

namespace phonaut::kernel {

void pad_signal_forward(const Cuda& cuda, View<const float, 2> x, const long* lengths, long left, long right, Edge edge,
                        View<float, 2> y) {
  const cuda::Brought<long> brought(cuda, lengths, y.shape[0]);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "pad_signal", y.shape[0], y.shape[1], [=] __device__(long n, long p) {
    const long length = real ? real[n] : x.shape[1];
    const long s = length <= 0 || p >= left + length + right ? -1 : mirrored(edge, p - left, length);
    y.row(n)[p] = s < 0 ? 0.f : x.row(n)[s];
  });
}

void pad_signal_backward(const Cuda& cuda, View<const float, 2> dy, const long* lengths, long left, long right,
                         Edge edge, Sink<float, 2> dx) {
  const cuda::Brought<long> brought(cuda, lengths, dy.shape[0]);
  const long* real = brought.data();
  cuda::for_each_at(cuda, "pad_signal", dx.shape[0], dx.shape[1], [=] __device__(long n, long s) {
    const long length = real ? real[n] : dx.shape[1];
    if (s >= length) {
      if (!dx.add) dx.row(n)[s] = 0;
      return;
    }
    // Positions relative to the utterance's start, of which the padded signal has those from -left to below `end`.
    const long whole = left + length + right < dy.shape[1] ? left + length + right : dy.shape[1], end = whole - left;
    const float* from = dy.row(n) + left;
    float total = 0;
    if (edge == Edge::zero || (edge == Edge::reflect && length == 1)) {
      for (long i = edge == Edge::zero ? s : -left; i < (edge == Edge::zero ? s + 1 : end); ++i)
        if (i >= -left && i < end) total += from[i];
    } else {
      // Sample s stands at s and at its mirror image, and again after every period.
      const long period = edge == Edge::reflect ? 2 * (length - 1) : 2 * length;
      const long image = edge == Edge::reflect ? -s : -1 - s;
      const auto add_all = [&](long place) {
        long i = place + (-left - place) / period * period;  // near -left, within a period of it
        while (i < -left) i += period;
        while (i - period >= -left) i -= period;
        for (; i < end; i += period) total += from[i];
      };
      add_all(s);
      if ((image - s) % period != 0) add_all(image);  // the turning points are their own images
    }
    cuda::put(dx.row(n)[s], total, dx.add);
  });
}

}  // namespace phonaut::kernel
