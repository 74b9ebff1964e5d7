#include "phonaut/ops/relative_attention.hpp"

#include "elementwise.cuh"
#include "phonaut/ops/penalize_scores.hpp"
#include "phonaut/ops/utterance_products.hpp"
#include "softmax_row.cuh"

namespace phonaut::kernel {

namespace {

constexpr int kRows = 8, kChannels = 64, kKeys = kRows * cuda::warp_lanes;  // of a tile: queries, channels, keys

/// The spans' lengths where kernels can read them.
struct DeviceSpan {
  cuda::Brought<long> lengths, first;
  AttentionSpan span;
  DeviceSpan(const Cuda& cuda, const AttentionSpan& on_host, long batch)
      : lengths(cuda, on_host.lengths, batch), first(cuda, on_host.first, batch), span(on_host) {
    span.lengths = lengths.data();
    span.first = first.data();
  }
};

/// Adds to sum[j] the products of one thread's key with `kRows` queries: rows of `left` (row t of head h begins at
/// channel h · width), which pass through shared memory, and for each query a row of its own of the other operand. All
/// threads of the block must come here.
template <class Right>
__device__ __forceinline__ void add_products(float (&sum)[kRows], View<const float, 3> left, long n, long h, long width,
                                             long first, long queries, bool active, const Right& right) {
  PHONAUT_SHARED(float, row, (kRows * kChannels));
  for (long c0 = 0; c0 < width; c0 += kChannels) {
    const long count = width - c0 < kChannels ? width - c0 : kChannels;
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kChannels; i += kKeys) {
      const long t = first + i / kChannels, c = i % kChannels;
      if (c < count) row[i] = t < queries ? left(n, t, h * width + c0 + c) : 0.f;
    }
    __syncthreads();
    if (!active) continue;
    for (long c = 0; c < count; ++c)
      for (int j = 0; j < kRows; ++j) sum[j] += row[j * kChannels + c] * right(j, c0 + c);
  }
}

/// A block per head and kRows queries. First each thread has a key and computes its scores with all of them, whose
/// positional parts it reads along the diagonals of r, so that no table of all distances ever exists; then each warp
/// has a row, to which it does finish(team, row, range of the keys that are seen, whose scores are there).
template <class Finish>
__global__ void __launch_bounds__(kKeys)
    scores_kernel(RelativeAttention<float> a, long tiles, View<float, 4> scores, Finish finish) {
  const long queries = a.queries(), keys = a.keys(), width = a.query_width(), place = a.position_width();
  const long n = blockIdx.x / tiles / a.heads, h = blockIdx.x / tiles % a.heads, t0 = blockIdx.x % tiles * kRows;
  long begin = keys, end = 0;  // what any of the queries sees
  for (long t = t0; t < t0 + kRows && t < queries; ++t) {
    const auto range = a.span.keys_of(n, t, queries, keys);
    if (range.empty()) continue;
    begin = range.begin < begin ? range.begin : begin;
    end = range.end > end ? range.end : end;
  }
  for (long s0 = begin; s0 < end; s0 += kKeys) {
    const long s = s0 + threadIdx.x;
    const bool active = s < end;
    float sum[kRows] = {};
    add_products(sum, a.q, n, h, width, t0, queries, active, [&](int, long c) { return a.k(n, s, h * width + c); });
    add_products(sum, a.p, n, h, place, t0, queries, active, [&](int j, long c) {
      const long t = t0 + j;
      return t < queries ? a.r(queries - 1 - t + s, h * place + c) : 0.f;
    });
    if (active)
      for (int j = 0; j < kRows && t0 + j < queries; ++j) scores(n, h, t0 + j, s) = sum[j];
  }
  __syncthreads();
  const long t = t0 + threadIdx.x / cuda::warp_lanes;
  if (t >= queries) return;
  const cuda::Team team{static_cast<int>(threadIdx.x) % cuda::warp_lanes, cuda::warp_lanes};
  finish(team, &scores(n, h, t, 0), a.span.keys_of(n, t, queries, keys));
}

/// The scores (N, heads, T, S), or what `finish` makes of them; the span of `a` is one that kernels can read.
template <class Finish>
void finished_scores(const Cuda& cuda, const char* what, const RelativeAttention<float>& a, View<float, 4> scores,
                     Finish finish) {
  const long tiles = (a.queries() + kRows - 1) / kRows;
  cuda::launch(cuda, what, cuda::Grid{a.batch() * a.heads * tiles, kKeys}, scores_kernel<Finish>, a, tiles, scores,
               finish);
}

/// What the gradient of the scores (N, heads, T, S) comes to in queries, keys, positional queries and r.
void scores_backward(const Cuda& cuda, const RelativeAttention<float>& a, View<const float, 4> dscores,
                     const HeadFrames<float>& dq, const HeadFrames<float>& dk, const HeadFrames<float>& dp,
                     const Sink<float, 2>& dr) {
  const long batch = a.batch(), heads = a.heads, queries = a.queries(), keys = a.keys();
  const long width = a.query_width(), place = a.position_width();
  const auto product = [&](Over over, const HeadFrames<float>& to, View<const float, 3> from) {
    if (to.frames.data && width > 0) utterance_products(cuda, scores_by_frames(over, dscores, from, to.frames, to.add));
  };
  product(Over::keys, dq, a.k);
  product(Over::queries, dk, a.q);
  constexpr int kAtOnce = 4;  // channels of a position, of which there are few
  for (long c0 = 0; c0 < place; c0 += kAtOnce) {
    const long count = std::min<long>(kAtOnce, place - c0);
    if (dp.frames.data)
      cuda::for_each_row(cuda, "relative_attention", batch * heads * queries, keys,
                         [=] __device__(const cuda::Team& team, long row) {
                           const long t = row % queries, h = row / queries % heads, n = row / queries / heads;
                           cuda::Sums<kAtOnce> total{};
                           for (long s = team.rank; s < keys; s += team.size) {
                             const float g = dscores(n, h, t, s);
                             for (long c = 0; c < count; ++c)
                               total.of[c] += static_cast<double>(g * a.r(queries - 1 - t + s, h * place + c0 + c));
                           }
                           total = team.sum(total);
                           if (team.rank != 0) return;
                           for (long c = 0; c < count; ++c)
                             cuda::put(dp.frames(n, t, h * place + c0 + c), static_cast<float>(total.of[c]), dp.add);
                         });
    if (dr) {
      const long distances = queries + keys - 1;
      cuda::reduce_columns<kAtOnce>(
          cuda, "relative_attention", batch * queries, heads * distances,
          [=] __device__(long row, long column) {
            const long n = row / queries, t = row % queries, h = column / distances;
            const long s = column % distances - queries + 1 + t;
            cuda::Sums<kAtOnce> one{};
            if (s < 0 || s >= keys) return one;
            const float g = dscores(n, h, t, s);
            for (long c = 0; c < count; ++c) one.of[c] = static_cast<double>(g * a.p(n, t, h * place + c0 + c));
            return one;
          },
          [=] __device__(long column, const cuda::Sums<kAtOnce>& total) {
            const long h = column / distances, j = column % distances;
            for (long c = 0; c < count; ++c)
              cuda::put(dr.row(j)[h * place + c0 + c], static_cast<float>(total.of[c]), dr.add);
          });
    }
  }
}

}  // namespace

void relative_attention_forward_scratch(const Cuda&, const RelativeAttention<float>&, long& numbers) { numbers = 0; }
void relative_attention_backward_scratch(const Cuda&, const RelativeAttention<float>& a, long& numbers) {
  numbers = a.batch() * a.heads * a.queries() * a.keys();
}

void relative_attention_forward(const Cuda& cuda, const RelativeAttention<float>& on_host, float*,
                                View<float, 4> weights) {
  if (weights.size() == 0) return;
  RelativeAttention<float> a = on_host;
  const DeviceSpan brought(cuda, a.span, a.batch());
  a.span = brought.span;
  const long keys = a.keys();
  const float share = a.span.uniform_if_empty ? static_cast<float>(1.0 / static_cast<double>(keys)) : 0.f;
  finished_scores(cuda, "relative_attention", a, weights,
                  [=] __device__(const cuda::Team& team, float* row, const AttentionSpan::Range& range) {
                    for (long s = team.rank; s < keys; s += team.size)
                      if (range.empty() || s < range.begin || s >= range.end) row[s] = range.empty() ? share : 0.f;
                    const long seen = range.end - range.begin;
                    if (!range.empty()) cuda::softmax_row(team, row + range.begin, seen, seen, row + range.begin);
                  });
}

void relative_attention_backward(const Cuda& cuda, const RelativeAttention<float>& on_host,
                                 View<const float, 4> dweights, View<const float, 4> weights, float* scratch,
                                 HeadFrames<float> dq, HeadFrames<float> dk, HeadFrames<float> dp, Sink<float, 2> dr) {
  RelativeAttention<float> a = on_host;
  const long batch = a.batch(), heads = a.heads, queries = a.queries(), keys = a.keys();
  const DeviceSpan brought(cuda, a.span, batch);
  a.span = brought.span;
  const View<float, 4> dscores(scratch, Shape<4>{batch, heads, queries, keys});
  cuda::for_each_row(cuda, "relative_attention", batch * heads * queries, keys,
                     [=] __device__(const cuda::Team& team, long row) {
                       const long t = row % queries, h = row / queries % heads, n = row / queries / heads;
                       const auto range = a.span.keys_of(n, t, queries, keys);
                       double dot = 0;
                       for (long s = range.begin + team.rank; s < range.end; s += team.size)
                         dot += static_cast<double>(weights(n, h, t, s)) * static_cast<double>(dweights(n, h, t, s));
                       const auto along = static_cast<float>(team.sum(dot));
                       for (long s = team.rank; s < keys; s += team.size) {
                         const bool seen = s >= range.begin && s < range.end;
                         dscores(n, h, t, s) = seen ? weights(n, h, t, s) * (dweights(n, h, t, s) - along) : 0.f;
                       }
                     });
  scores_backward(cuda, a, dscores, dq, dk, dp, dr);
}

void penalize_scores_backward(const Cuda& cuda, const RelativeAttention<float>& all, float limit, float penalty,
                              View<float, 4> scores, HeadFrames<float> dq, HeadFrames<float> dk, HeadFrames<float> dp,
                              Sink<float, 2> dr) {
  const long batch = all.batch(), keys = all.keys(), together = scores.shape[0];
  for (long n = 0; n < batch; n += together) {
    const long utterances = std::min(together, batch - n);
    const auto here = [&]<class Frames>(Frames frames) {
      detail::advance(frames, 0, n);
      frames.shape[0] = utterances;
      return frames;
    };
    const auto gradient = [&](const HeadFrames<float>& d) { return HeadFrames<float>{here(d.frames), d.add}; };
    RelativeAttention<float> a{all.heads, all.span, here(all.q), here(all.k), here(all.p), all.r};
    if (a.span.lengths) a.span.lengths += n;
    const DeviceSpan brought(cuda, a.span, utterances);
    a.span = brought.span;
    scores.shape[0] = utterances;
    finished_scores(cuda, "penalize_scores", a, scores,
                    [=] __device__(const cuda::Team& team, float* row, const AttentionSpan::Range& range) {
                      for (long s = team.rank; s < keys; s += team.size)
                        row[s] = s < range.begin || s >= range.end ? 0.f : score_penalty(row[s], limit, penalty);
                    });
    scores_backward(cuda, a, scores, gradient(dq), gradient(dk), gradient(dp), dr);
    dr.add = true;  // the other utterances have their share in it
  }
}

}  // namespace phonaut::kernel
