// What the frontends do with features and samples besides transforms.
#include "elementwise.cuh"
#include "phonaut/frontends/cmvn.hpp"
#include "phonaut/frontends/dmel.hpp"
#include "phonaut/frontends/feature_stream.hpp"
#include "phonaut/frontends/griffin_lim.hpp"

namespace phonaut::kernel {

namespace {

/// A thread per channel of an utterance, whose windows follow one another.
template <class Options>
void normalise(const Cuda& cuda, const Options& options, View<const float, 3> x, const long* lengths,
               View<float, 3> y) {
  const Options o = options;
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

template <class Options>
void normalise_backward(const Cuda& cuda, const Options& options, View<const float, 3> dy, View<const float, 3> x,
                        const long* lengths, Sink<float, 3> dx) {
  const Options o = options;
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

}  // namespace

void cmvn_forward(const Cuda& cuda, const UtteranceCmvn& o, View<const float, 3> x, const long* lengths,
                  View<float, 3> y) {
  normalise(cuda, o, x, lengths, y);
}
void cmvn_forward(const Cuda& cuda, const SlidingCmvn& o, View<const float, 3> x, const long* lengths,
                  View<float, 3> y) {
  normalise(cuda, o, x, lengths, y);
}
void cmvn_backward(const Cuda& cuda, const UtteranceCmvn& o, View<const float, 3> dy, View<const float, 3> x,
                   const long* lengths, Sink<float, 3> dx, View<double, 2>) {
  normalise_backward(cuda, o, dy, x, lengths, dx);
}
void cmvn_backward(const Cuda& cuda, const SlidingCmvn& o, View<const float, 3> dy, View<const float, 3> x,
                   const long* lengths, Sink<float, 3> dx, View<double, 2>) {
  normalise_backward(cuda, o, dy, x, lengths, dx);
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
