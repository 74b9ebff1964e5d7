#include "clusters.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <phonaut/io/safetensors.hpp>
#include <phonaut/quantizers/kmeans.hpp>

#include "common/model_file.hpp"

using namespace phonaut;

namespace {

constexpr long kSeedFrames = 8192;  // that k-means++ chooses among: it looks at all of them for every cluster
constexpr long kBatch = 4096;

/// Rows `order[from … until)` of `rows` as a tensor.
Tensor<B, 2> rows_at(Context<B>& ctx, const std::vector<float>& rows, long dim, const std::vector<long>& order,
                     long from, long until) {
  std::vector<float> chosen;
  chosen.reserve(static_cast<size_t>((until - from) * dim));
  for (long i = from; i < until; ++i) {
    const auto row = rows.begin() + order[static_cast<size_t>(i)] * dim;
    chosen.insert(chosen.end(), row, row + dim);
  }
  return input(ctx, Shape<2>{until - from, dim}, chosen).tensor();
}

void shuffle(std::vector<long>& order, Draws draws) {
  for (long i = static_cast<long>(order.size()) - 1; i > 0; --i)
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(draws.below(i + 1, i))]);
}

}  // namespace

void UnitModel::save(const std::filesystem::path& file) const {
  const std::vector<SafetensorsEntry> entries{
      safetensors_entry("means", {count(), dim}, std::span<const float>(means))};
  write_safetensors(file.string(), entries,
                    {{"clusters", nlohmann::json{{"features", features}, {"rate", rate}}.dump()}});
}

UnitModel UnitModel::load(const std::filesystem::path& file) {
  const auto about = metadata_of(file, "clusters");
  UnitModel c;
  try {
    c.features = about.at("features").get<std::string>();
    c.rate = about.at("rate").get<int>();
  } catch (const nlohmann::json::exception& e) {
    refuse_metadata(file, "clusters", std::string("does not fit: ") + e.what());
  }
  const SafetensorsReader reader(file.string());
  const auto& info = reader.info("means");
  c.dim = feature_kind(c.features).dim();
  if (info.shape.size() != 2 || info.shape[0] < 1 || info.shape[1] != c.dim || c.rate < 1)
    throw LoadError(
        fmt::format("{}: means of {} numbers at a positive rate were expected, but 'means' is ({}) at {} Hz",
                    file.string(), c.dim, fmt::join(info.shape, ", "), c.rate));
  c.means = reader.read<float>("means");
  return c;
}

std::vector<float> fit_clusters(Context<B>& ctx, const RecordedFrames& frames, const std::vector<size_t>& recordings,
                                long count, long passes, std::uint64_t seed) {
  std::vector<float> rows;
  for (const size_t i : recordings) rows.insert(rows.end(), frames.of[i].begin(), frames.of[i].end());
  const long all = static_cast<long>(rows.size()) / frames.dim;
  if (count > all) throw ConfigError(concat("clusters: there are ", all, " frames for ", count, " clusters"));
  Random random{.seed = seed};
  std::vector<long> order(static_cast<size_t>(all));
  std::iota(order.begin(), order.end(), 0L);
  shuffle(order, random.take(all));
  const auto some = rows_at(ctx, rows, frames.dim, order, 0, std::min(all, std::max(count, kSeedFrames)));
  phonaut::Clusters<B> clusters{
      kmeans_seeds(ctx, some, count, KmeansOptions::Seeding::plus_plus, random.take(4 * count)),
      ctx.zeros(Shape<1>{count}),
      {}};
  for (long pass = 0; pass < passes; ++pass) {
    shuffle(order, random.take(all));
    for (long from = 0; from < all; from += kBatch)
      kmeans_minibatch(ctx, rows_at(ctx, rows, frames.dim, order, from, std::min(all, from + kBatch)), clusters);
  }
  return values_of(ctx, clusters.means);
}

Units units_of(Context<B>& ctx, const RecordedFrames& frames, const std::vector<float>& means) {
  const auto table = input(ctx, Shape<2>{static_cast<long>(means.size()) / frames.dim, frames.dim}, means).tensor();
  const auto rows = input(ctx, Shape<2>{frames.total(), frames.dim}, frames.joined()).tensor();
  const auto codes = host_codes(ctx, nearest_code(ctx, rows, table));
  Units units;
  auto at = codes.begin();
  for (size_t i = 0; i < frames.of.size(); at += frames.length(i++)) units.emplace_back(at, at + frames.length(i));
  return units;
}
