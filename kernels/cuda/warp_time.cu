#include "phonaut/ops/warp_time.hpp"

#include "elementwise.cuh"

namespace phonaut::kernel {

void warp_time_forward(const Cuda& cuda, View<const float, 3> x, const long* lengths, const long* centre,
                       const long* to, View<float, 3> y) {
  const long batch = x.shape[0], time = x.shape[1];
  const cuda::Brought<long> real_frames(cuda, lengths, batch), centres(cuda, centre, batch), goals(cuda, to, batch);
  const long *real = real_frames.data(), *from = centres.data(), *goal = goals.data();
  cuda::for_each_at(cuda, "warp_time", batch * time, x.shape[2], [=] __device__(long row, long c) {
    const long n = row / time, t = row % time, frames = real ? real[n] : time;
    if (t >= frames || from[n] == goal[n]) {
      y(n, t, c) = x(n, t, c);
      return;
    }
    const WarpedFrame f(frames, from[n], goal[n], t);
    double total = 0;
    for (int k = 0; k < 4; ++k) total += f.weight[k] * static_cast<double>(x(n, f.from[k], c));
    y(n, t, c) = static_cast<float>(total);
  });
}

void warp_time_backward(const Cuda& cuda, View<const float, 3> dy, const long* lengths, const long* centre,
                        const long* to, Sink<float, 3> dx) {
  const long batch = dy.shape[0], time = dy.shape[1];
  const cuda::Brought<long> real_frames(cuda, lengths, batch), centres(cuda, centre, batch), goals(cuda, to, batch);
  const long *real = real_frames.data(), *from = centres.data(), *goal = goals.data();
  cuda::for_each_at(cuda, "warp_time", batch * time, dy.shape[2], [=] __device__(long row, long c) {
    const long n = row / time, s = row % time, frames = real ? real[n] : time;
    if (s >= frames || from[n] == goal[n]) {
      cuda::put(dx(n, s, c), dy(n, s, c), dx.add);
      return;
    }
    // The warped frames of this part that may have s among their neighbours: those whose place lies within two frames
    // of it, and at the part's edges all further ones.
    const bool left = s < from[n];
    const long begin = left ? 0 : from[n], had = left ? from[n] : frames - from[n];
    const long first = left ? 0 : goal[n], has = left ? goal[n] : frames - goal[n];
    const double scale = static_cast<double>(has) / static_cast<double>(had);
    const auto near = static_cast<double>(s - begin);
    long lowest = static_cast<long>((near - 1.5) * scale - 0.5) - 1,
         highest = static_cast<long>((near + 2.5) * scale) + 1;
    if (s == begin || lowest < 0) lowest = 0;
    if (s == begin + had - 1 || highest > has - 1) highest = has - 1;
    double total = 0;
    for (long t = first + lowest; t <= first + highest; ++t) {
      const WarpedFrame f(frames, from[n], goal[n], t);
      for (int k = 0; k < 4; ++k)
        if (f.from[k] == s) total += f.weight[k] * static_cast<double>(dy(n, t, c));
    }
    cuda::put(dx(n, s, c), static_cast<float>(total), dx.add);
  });
}

}  // namespace phonaut::kernel
