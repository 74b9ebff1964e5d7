// What the frontends do with features and samples besides transforms.
#include "elementwise.cuh"
#include "phonaut/frontends/cmvn.hpp"
#include "phonaut/frontends/dmel.hpp"
#include "phonaut/frontends/feature_stream.hpp"
#include "phonaut/frontends/griffin_lim.hpp"
#include "reduce.cuh"

namespace phonaut::kernel {

namespace {

constexpr int kLanes = 8;  // frames that a block of 32 channels reads at once

/// The channel of an utterance that a thread of such a block works on, together with the threads of other lanes.
struct ChannelLane {
  long n, c, lane, real;
  bool inside;

  __device__ ChannelLane(long at, long groups, long channels, const long* frames, long time)
      : n(at / groups),
        c(at % groups * cuda::warp_lanes + threadIdx.x % cuda::warp_lanes),
        lane(threadIdx.x / cuda::warp_lanes),
        real(frames ? frames[n] : time),
        inside(c < channels) {}
  /// Σ f(t) over the real frames; all threads of the block must come here.
  template <int K, class F>
  __device__ cuda::Sums<K> sum(const F& f) const {
    PHONAUT_SHARED(cuda::Sums<K>, part, (kLanes * cuda::warp_lanes));
    cuda::Sums<K> total{};
    for (long t = lane; inside && t < real; t += kLanes) total = total + f(t);
    __syncthreads();  // an earlier sum may still be read
    part[threadIdx.x] = total;
    __syncthreads();
    total = part[threadIdx.x % cuda::warp_lanes];
    for (int i = 1; i < kLanes; ++i) total = total + part[i * cuda::warp_lanes + threadIdx.x % cuda::warp_lanes];
    return total;
  }
  template <class Value>
  __device__ CmvnMoments<double> moments(const UtteranceCmvn& o, const Value& value) const {
    CmvnMoments<double> m{0, 1, 0, 0, 0, real};
    m.mean = sum<1>([&](long t) { return cuda::Sums<1>{{value(t)}}; }).of[0] / static_cast<double>(real);
    if (!o.variance) return m;
    const auto square = [&](long t) {
      const double d = value(t) - m.mean;
      return cuda::Sums<1>{{d * d}};
    };
    scale_by_variance(o, sum<1>(square).of[0], m);
    return m;
  }
};

__global__ void __launch_bounds__(kLanes* cuda::warp_lanes)
    utterance_cmvn_kernel(UtteranceCmvn o, View<const float, 3> x, const long* frames, View<float, 3> y) {
  const long time = x.shape[1], groups = (x.shape[2] + cuda::warp_lanes - 1) / cuda::warp_lanes;
  for (long at = blockIdx.x; at < x.shape[0] * groups; at += gridDim.x) {
    const ChannelLane own(at, groups, x.shape[2], frames, time);
    const auto value = [&](long t) { return static_cast<double>(x(own.n, t, own.c)); };
    const CmvnMoments<double> m = own.moments(o, value);
    for (long t = own.lane; own.inside && t < time; t += kLanes)
      y(own.n, t, own.c) = t < own.real ? static_cast<float>((value(t) - m.mean) * m.scale) : 0.f;
  }
}

/// dx_j = dy_j r - r/n Σ dy + 2q dr/dv (x_j - m) Σ dy (x - m): every frame has the same window.
__global__ void __launch_bounds__(kLanes* cuda::warp_lanes)
    utterance_cmvn_backward_kernel(UtteranceCmvn o, View<const float, 3> dy, View<const float, 3> x, const long* frames,
                                   Sink<float, 3> dx) {
  const long time = x.shape[1], groups = (x.shape[2] + cuda::warp_lanes - 1) / cuda::warp_lanes;
  for (long at = blockIdx.x; at < x.shape[0] * groups; at += gridDim.x) {
    const ChannelLane own(at, groups, x.shape[2], frames, time);
    const auto value = [&](long t) { return static_cast<double>(x(own.n, t, own.c)); };
    const auto slope = [&](long t) { return static_cast<double>(dy(own.n, t, own.c)); };
    const CmvnMoments<double> m = own.moments(o, value);
    const auto both = own.sum<2>([&](long t) { return cuda::Sums<2>{{slope(t), slope(t) * (value(t) - m.mean)}}; });
    const double flat = -m.scale / static_cast<double>(own.real) * both.of[0], along = -m.share * m.fall * both.of[1];
    for (long t = own.lane; own.inside && t < time; t += kLanes) {
      const double g = t < own.real ? slope(t) * m.scale + flat + along * (value(t) - m.mean) : 0;
      cuda::put(dx(own.n, t, own.c), static_cast<float>(g), dx.add);
    }
  }
}

cuda::Grid channel_groups(View<const float, 3> x) {
  const long groups = (x.shape[2] + cuda::warp_lanes - 1) / cuda::warp_lanes;
  return {std::min(x.shape[0] * groups, cuda::most_blocks), kLanes * cuda::warp_lanes};
}

}  // namespace

void cmvn_forward(const Cuda& cuda, const UtteranceCmvn& o, View<const float, 3> x, const long* lengths,
                  View<float, 3> y) {
  if (x.size() == 0) return;
  const cuda::Brought<long> frames(cuda, lengths, x.shape[0]);
  cuda::launch(cuda, "cmvn", channel_groups(x), utterance_cmvn_kernel, o, x, frames.data(), y);
}
void cmvn_backward(const Cuda& cuda, const UtteranceCmvn& o, View<const float, 3> dy, View<const float, 3> x,
                   const long* lengths, Sink<float, 3> dx, View<double, 2>) {
  if (x.size() == 0) return;
  const cuda::Brought<long> frames(cuda, lengths, x.shape[0]);
  cuda::launch(cuda, "cmvn", channel_groups(x), utterance_cmvn_backward_kernel, o, dy, x, frames.data(), dx);
}

/// A thread per channel of an utterance, whose windows follow one another.
void cmvn_forward(const Cuda& cuda, const SlidingCmvn& options, View<const float, 3> x, const long* lengths,
                  View<float, 3> y) {
  const SlidingCmvn o = options;
  const long time = x.shape[1], channels = x.shape[2];
  const cuda::Brought<long> brought(cuda, lengths, x.shape[0]);
  const long* frames = brought.data();
  if (time == 0) return;
  cuda::for_each_at(cuda, "cmvn", x.shape[0], channels, [=] __device__(long n, long c) {
    const long real = frames ? frames[n] : time;
    const float* from = x.data + n * time * channels + c;
    float* to = y.data + n * time * channels + c;
    for_each_window(o, from, real, channels, [&](long i, const CmvnMoments<double>& m) {
      to[i * channels] = static_cast<float>((static_cast<double>(from[i * channels]) - m.mean) * m.scale);
    });
    for (long i = real; i < time; ++i) to[i * channels] = 0;
  });
}

void cmvn_backward(const Cuda& cuda, const SlidingCmvn& options, View<const float, 3> dy, View<const float, 3> x,
                   const long* lengths, Sink<float, 3> dx, View<double, 2>) {
  const SlidingCmvn o = options;
  const long time = x.shape[1], channels = x.shape[2];
  const cuda::Brought<long> brought(cuda, lengths, x.shape[0]);
  const long* frames = brought.data();
  // `ranges` of the reference, for every channel, neighbours side by side.
  const cuda::Scratch<double> scratch(cuda, 2 * x.shape[0] * channels * (time + 1));
  double* const room = scratch.data();
  if (time == 0) return;
  cuda::for_each_at(cuda, "cmvn", x.shape[0], channels, [=] __device__(long n, long c) {
    const long real = frames ? frames[n] : time, at = n * time * channels + c;
    const float *from = x.data + at, *dfrom = dy.data + at;
    double *const constant = room + 2 * n * (time + 1) * channels + c, *const linear = constant + (time + 1) * channels;
    for (long i = 0; i <= real; ++i) constant[i * channels] = linear[i * channels] = 0;
    for_each_window(o, from, real, channels, [&](long i, const CmvnMoments<double>& m) {
      const auto d = static_cast<double>(dfrom[i * channels]);
      double flat = -d * m.scale / static_cast<double>(m.end - m.begin), slope = 0;
      if (o.variance) {
        slope = -m.share * m.fall * d * (static_cast<double>(from[i * channels]) - m.mean);
        flat -= slope * m.mean;
      }
      constant[m.begin * channels] += flat;
      constant[m.end * channels] -= flat;
      linear[m.begin * channels] += slope;
      linear[m.end * channels] -= slope;
      cuda::put(dx.data[at + i * channels], static_cast<float>(d * m.scale), dx.add);
    });
    double flat = 0, slope = 0;
    for (long i = 0; i < real; ++i) {
      flat += constant[i * channels];
      slope += linear[i * channels];
      dx.data[at + i * channels] += static_cast<float>(flat + slope * static_cast<double>(from[i * channels]));
    }
    for (long i = real; i < time && !dx.add; ++i) dx.data[at + i * channels] = 0;
  });
}

void dmel_encode(const Cuda& cuda, View<const float, 3> x, const long* lengths, double low, double step, long levels,
                 std::int32_t* codes) {
  const long time = x.shape[1], bands = x.shape[2];
  const cuda::Brought<long> brought(cuda, lengths, x.shape[0]);
  const long* frames = brought.data();
  cuda::for_each_at(cuda, "dmel", x.shape[0] * time, bands, [=] __device__(long row, long c) {
    const long n = row / time, t = row % time;
    const double at = ::ceil((static_cast<double>(x(n, t, c)) - low) / step - 0.5);
    const auto top = static_cast<double>(levels - 1);
    const bool known = at == at && (!frames || t < frames[n]);
    codes[row * bands + c] = known ? static_cast<std::int32_t>(at < 0 ? 0 : at > top ? top : at) : -1;
  });
}
void dmel_decode(const Cuda& cuda, View<const std::int32_t, 1> codes, double low, double step, long levels, float* y) {
  const std::int32_t* code = codes.data;
  cuda::for_each(cuda, "dmel", codes.size(), [=] __device__(long i) {
    const bool known = code[i] >= 0 && code[i] < levels;
    y[i] = known ? static_cast<float>(low + step * code[i]) : 0.f;
  });
}

void streamed_window(const Cuda& cuda, const StreamedSamples<float>& samples, long left, long right, Edge edge,
                     bool open, long begin, View<float, 1> y) {
  const StreamedSamples<float> x = samples;
  const long length = open ? 1L << 60 : x.total;
  cuda::for_each(cuda, "streamed_window", y.size(), [=] __device__(long i) {
    const long p = begin + i, s = p < left + length + right ? mirrored(edge, p - left, length) : -1;
    y.data[i] = s < 0 ? 0.f : x[s];
  });
}
void keep_samples(const Cuda& cuda, const StreamedSamples<float>& samples, long keep, float* y) {
  const StreamedSamples<float> x = samples;
  // The target may be where the old samples are: they are read before any is written.
  const cuda::Scratch<float> scratch(cuda, keep);
  float* const kept = scratch.data();
  cuda::for_each(cuda, "keep_samples", keep, [=] __device__(long i) { kept[i] = x[x.total - keep + i]; });
  if (keep > 0) cuda::copy_within(cuda, y, kept, static_cast<size_t>(keep) * sizeof(float));
}

void replace_magnitudes(const Cuda& cuda, View<const float, 1> magnitude, const float* rebuilt, const float* previous,
                        float momentum, float* spectrum) {
  const float* size = magnitude.data;
  cuda::for_each(cuda, "replace_magnitudes", magnitude.size(), [=] __device__(long i) {
    const float re = rebuilt[2 * i] - momentum * previous[2 * i];
    const float im = rebuilt[2 * i + 1] - momentum * previous[2 * i + 1];
    const float scale = size[i] / (math::sqrt(re * re + im * im) + 1e-16f);
    spectrum[2 * i] = scale * re;
    spectrum[2 * i + 1] = scale * im;
  });
}

}  // namespace phonaut::kernel
