// Codebooks that are trained by running averages and by k-means.
#include "phonaut/quantizers/codebook.hpp"

#include "elementwise.cuh"
#include "phonaut/quantizers/code_sums.hpp"
#include "phonaut/quantizers/kmeans.hpp"
#include "scatter.cuh"

namespace phonaut::kernel {

void code_sums(const Cuda& cuda, View<const float, 2> x, const std::int32_t* code, View<double, 1> count,
               View<double, 2> sum) {
  const long width = x.shape[1];
  // One more column counts.
  cuda::scatter(
      cuda, "code_sums", count.size(), width + 1, x.shape[0], [=] __device__(long i) { return code[i]; },
      [=] __device__(long i, long d) { return d < width ? x.row(i)[d] : 1.f; },
      [=] __device__(long j, long d, double total) { (d < width ? sum.row(j)[d] : count.data[j]) = total; });
}

void ema_follow(const Cuda& cuda, double decay, bool only_hit, View<const double, 1> count, View<const double, 2> sum,
                View<float, 1> running_count, View<float, 2> running_sum) {
  const long width = sum.shape[1];
  cuda::for_each_at(cuda, "ema_follow", count.size(), width + 1, [=] __device__(long j, long d) {
    if (only_hit && !(count.data[j] > 0)) return;
    float& to = d < width ? running_sum.row(j)[d] : running_count.data[j];
    const double fresh = d < width ? sum.row(j)[d] : count.data[j];
    to = static_cast<float>(decay * static_cast<double>(to) + (1 - decay) * fresh);
  });
}
void ema_entries(const Cuda& cuda, bool laplace, double epsilon, View<const float, 1> count, View<const float, 2> sum,
                 View<float, 2> entries) {
  const long codes = count.size();
  const cuda::Scratch<double> scratch(cuda, 1);
  double* const all = scratch.data();
  cuda::reduce<1>(
      cuda, "ema_entries", codes,
      [=] __device__(long j) { return cuda::Sums<1>{{static_cast<double>(count.data[j])}}; },
      [=] __device__(const cuda::Sums<1>& total) { *all = total.of[0]; });
  cuda::for_each_at(cuda, "ema_entries", codes, entries.shape[1], [=] __device__(long j, long d) {
    auto n = static_cast<double>(count.data[j]);
    if (laplace) n = (n + epsilon) / (*all + epsilon * static_cast<double>(codes)) * *all;
    else if (n < epsilon) n = epsilon;
    entries.row(j)[d] = static_cast<float>(static_cast<double>(sum.row(j)[d]) / n);
  });
}
void ema_entries_where(const Cuda& cuda, const std::uint8_t* marked, View<const float, 1> count,
                       View<const float, 2> sum, View<float, 2> entries) {
  cuda::for_each_at(cuda, "ema_entries", count.size(), entries.shape[1], [=] __device__(long j, long d) {
    if (marked[j]) entries.row(j)[d] = sum.row(j)[d] / count.data[j];
  });
}
void sums_of_clusters(const Cuda& cuda, View<const float, 2> mean, View<float, 1> count, View<float, 2> sum) {
  cuda::for_each(cuda, "sums_of_clusters", count.size(), [=] __device__(long j) {
    if (count.data[j] < 1) count.data[j] = 1;
  });
  cuda::for_each_at(cuda, "sums_of_clusters", count.size(), mean.shape[1],
                    [=] __device__(long j, long d) { sum.row(j)[d] = count.data[j] * mean.row(j)[d]; });
}
void revive(const Cuda& cuda, double least, double usage, bool compact, View<const float, 2> replacement,
            View<float, 1> count, View<float, 2> sum, std::uint8_t* dead) {
  const long codes = count.size();
  const auto limit = static_cast<float>(least), fresh = static_cast<float>(usage);
  const cuda::Scratch<long> scratch(cuda, codes);
  long* const from = scratch.data();
  // A thread counts the dead: there are a few thousand entries.
  cuda::for_each(cuda, "revive", 1, [=] __device__(long) {
    long next = 0;
    for (long j = 0; j < codes; ++j) {
      dead[j] = count.data[j] < limit;
      from[j] = !dead[j] ? -1 : compact ? next++ : j;
    }
  });
  cuda::for_each_at(cuda, "revive", codes, sum.shape[1] + 1, [=] __device__(long j, long d) {
    if (from[j] < 0) return;
    if (d == sum.shape[1]) count.data[j] = fresh;
    else sum.row(j)[d] = fresh * replacement.row(from[j])[d];
  });
}

void cluster_means(const Cuda& cuda, View<const double, 1> count, View<const double, 2> sum,
                   View<const float, 2> replacement, View<float, 2> means, View<float, 1> counts) {
  const long width = means.shape[1];
  cuda::for_each_at(cuda, "cluster_means", count.size(), width + 1, [=] __device__(long j, long d) {
    const bool empty = !(count.data[j] > 0);
    if (d == width) counts.data[j] = static_cast<float>(count.data[j]);
    else if (!empty) means.row(j)[d] = static_cast<float>(sum.row(j)[d] / count.data[j]);
    else if (replacement) means.row(j)[d] = replacement.row(j)[d];
  });
}
void minibatch_means(const Cuda& cuda, View<const double, 1> count, View<const double, 2> sum, View<float, 2> means,
                     View<float, 1> counts) {
  cuda::for_each_at(cuda, "minibatch_means", count.size(), means.shape[1], [=] __device__(long j, long d) {
    if (!(count.data[j] > 0)) return;
    const auto n = static_cast<double>(counts.data[j]);
    means.row(j)[d] =
        static_cast<float>((n * static_cast<double>(means.row(j)[d]) + sum.row(j)[d]) / (n + count.data[j]));
  });
  cuda::for_each(cuda, "minibatch_means", count.size(), [=] __device__(long j) {
    if (count.data[j] > 0) counts.data[j] = static_cast<float>(static_cast<double>(counts.data[j]) + count.data[j]);
  });
}

}  // namespace phonaut::kernel
