#include "phonaut/ops/chunk_causal_conv1d.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

namespace {

using Filters = ChunkCausalFilters<float>;

/// Where frame t of utterance n stands in its chunk.
struct ChunkPlace {
  long begin, end, size;
  __device__ __forceinline__ ChunkPlace(const Filters& f, long n, long t, long time) : size(f.chunk_of(n, time)) {
    begin = t / size * size;
    end = begin + size < time ? begin + size : time;
  }
};

/// scale[i] of channel c; see ChunkCausalFilters.
__device__ __forceinline__ float edge_scale(const Filters& f, long c, long i, long size) {
  const long taps = f.taps(), right = taps - size + i;
  return 1 + (i < taps ? f.edge(0, c, i) : 0.f) + (right >= 0 ? f.edge(1, c, right) : 0.f);
}
/// chunkwise[t] of channel c.
__device__ __forceinline__ float chunkwise(const Filters& f, View<const float, 3> x, long n, long t, long c,
                                           const ChunkPlace& chunk) {
  const long taps = f.taps(), half = taps / 2;
  const long first = chunk.begin > t - half ? chunk.begin : t - half;
  const long last = chunk.end < t - half + taps ? chunk.end : t - half + taps;
  float total = f.chunk_bias[c];
  for (long s = first; s < last; ++s) total += f.chunk_weight(c, s - t + half) * x(n, s, c);
  return total;
}

/// The filters with the lengths where kernels can read them.
struct DeviceFilters {
  cuda::Brought<long> lengths;
  Filters filters;
  DeviceFilters(const Cuda& cuda, const Filters& f, long batch) : lengths(cuda, f.lengths, batch), filters(f) {
    filters.lengths = lengths.data();
  }
};

}  // namespace

void chunk_causal_conv1d_forward(const Cuda& cuda, const Filters& on_host, View<const float, 3> x, View<float, 3> y) {
  const DeviceFilters brought(cuda, on_host, x.shape[0]);
  const Filters f = brought.filters;
  const long time = x.shape[1];
  cuda::for_each_at(cuda, "chunk_causal_conv1d", x.shape[0] * time, x.shape[2], [=] __device__(long row, long c) {
    const long n = row / time, t = row % time, half = f.taps() / 2;
    const ChunkPlace chunk(f, n, t, time);
    float past = f.causal_bias[c];
    for (long s = t > half ? t - half : 0; s <= t; ++s) past += f.causal_weight(c, s - t + half) * x(n, s, c);
    y(n, t, c) = past + chunkwise(f, x, n, t, c, chunk) * edge_scale(f, c, t - chunk.begin, chunk.size);
  });
}

void chunk_causal_conv1d_backward(const Cuda& cuda, const Filters& on_host, View<const float, 3> dy,
                                  View<const float, 3> x, Sink<float, 3> dx, const ChunkCausalSinks<float>& sinks) {
  const long batch = x.shape[0], time = x.shape[1], channels = x.shape[2], rows = batch * time;
  const DeviceFilters brought(cuda, on_host, batch);
  const Filters f = brought.filters;
  const ChunkCausalSinks<float> d = sinks;
  const long taps = f.taps(), half = taps / 2;
  // dy · scale, which the chunkwise filter sees, and dy · chunkwise, which the edges see.
  const cuda::Scratch<float> scratch(cuda, 2 * rows * channels);
  const View<float, 3> scaled(scratch.data(), x.shape), valued(scratch.data() + rows * channels, x.shape);
  cuda::for_each_at(cuda, "chunk_causal_conv1d", rows, channels, [=] __device__(long row, long c) {
    const long n = row / time, t = row % time;
    const ChunkPlace chunk(f, n, t, time);
    const float g = dy(n, t, c);
    scaled(n, t, c) = g * edge_scale(f, c, t - chunk.begin, chunk.size);
    if (d.edge) valued(n, t, c) = g * chunkwise(f, x, n, t, c, chunk);
  });
  if (dx)
    cuda::for_each_at(cuda, "chunk_causal_conv1d", rows, channels, [=] __device__(long row, long c) {
      const long n = row / time, s = row % time;
      const ChunkPlace chunk(f, n, s, time);
      float total = 0;
      for (long t = s; t <= s + half && t < time; ++t) total += dy(n, t, c) * f.causal_weight(c, s - t + half);
      // t + k - half = s for a tap k of 0 … taps - 1.
      const long first = chunk.begin > s + half - taps + 1 ? chunk.begin : s + half - taps + 1;
      const long last = chunk.end < s + half + 1 ? chunk.end : s + half + 1;
      for (long t = first; t < last; ++t) total += scaled(n, t, c) * f.chunk_weight(c, s - t + half);
      cuda::put(dx(n, s, c), total, dx.add);
    });
  // The taps of a channel are columns, channels side by side.
  if (d.causal_weight)
    cuda::reduce_columns<1>(
        cuda, "chunk_causal_conv1d", rows, (half + 1) * channels,
        [=] __device__(long row, long column) {
          const long n = row / time, t = row % time, c = column % channels, s = t + column / channels - half;
          return cuda::Sums<1>{{s < 0 ? 0.0 : static_cast<double>(dy(n, t, c) * x(n, s, c))}};
        },
        [=] __device__(long column, const cuda::Sums<1>& total) {
          cuda::put(d.causal_weight.row(column % channels)[column / channels], static_cast<float>(total.of[0]),
                    d.causal_weight.add);
        });
  if (d.chunk_weight)
    cuda::reduce_columns<1>(
        cuda, "chunk_causal_conv1d", rows, taps * channels,
        [=] __device__(long row, long column) {
          const long n = row / time, t = row % time, c = column % channels, s = t + column / channels - half;
          const ChunkPlace chunk(f, n, t, time);
          const bool inside = s >= chunk.begin && s < chunk.end;
          return cuda::Sums<1>{{inside ? static_cast<double>(scaled(n, t, c) * x(n, s, c)) : 0.0}};
        },
        [=] __device__(long column, const cuda::Sums<1>& total) {
          cuda::put(d.chunk_weight.row(column % channels)[column / channels], static_cast<float>(total.of[0]),
                    d.chunk_weight.add);
        });
  if (d.causal_bias || d.chunk_bias)
    cuda::reduce_columns<2>(
        cuda, "chunk_causal_conv1d", rows, channels,
        [=] __device__(long row, long c) {
          const long n = row / time, t = row % time;
          return cuda::Sums<2>{{static_cast<double>(dy(n, t, c)), static_cast<double>(scaled(n, t, c))}};
        },
        [=] __device__(long c, const cuda::Sums<2>& total) {
          if (d.causal_bias) cuda::put(d.causal_bias.data[c], static_cast<float>(total.of[0]), d.causal_bias.add);
          if (d.chunk_bias) cuda::put(d.chunk_bias.data[c], static_cast<float>(total.of[1]), d.chunk_bias.add);
        });
  if (!d.edge) return;
  long most_chunks = 0;
  for (long n = 0; n < batch; ++n) {
    const long size = on_host.chunk_of(n, time);
    most_chunks = std::max(most_chunks, (time + size - 1) / size);
  }
  // Each chunk has at most one frame for each place of an edge.
  cuda::reduce_columns<1>(
      cuda, "chunk_causal_conv1d", batch * most_chunks, 2 * taps * channels,
      [=] __device__(long row, long column) {
        const long n = row / most_chunks, c = column % channels, place = column / channels, k = place % taps;
        const long size = f.chunk_of(n, time), begin = row % most_chunks * size, i = place < taps ? k : k - taps + size;
        const long t = begin + i;
        const bool there = i >= 0 && i < size && t < time;
        return cuda::Sums<1>{{there ? static_cast<double>(valued(n, t, c)) : 0.0}};
      },
      [=] __device__(long column, const cuda::Sums<1>& total) {
        const long c = column % channels, place = column / channels;
        cuda::put(d.edge(place / taps, c, place % taps), static_cast<float>(total.of[0]), d.edge.add);
      });
}

}  // namespace phonaut::kernel
