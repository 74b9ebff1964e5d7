#include "phonaut/metrics/abx.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <tuple>

#include "phonaut/core/error.hpp"
#include "rows.hpp"

namespace phonaut {

namespace {

/// A mean that is filled one by one.
struct Mean {
  double sum = 0;
  long count = 0;
  void add(double x) { sum += x, ++count; }
  double value() const { return sum / static_cast<double>(count); }
};

}  // namespace

std::vector<double> angular_distances(std::span<const float> a, std::span<const float> b, long dim) {
  detail::check_rows("angular_distances", a, dim, "frame");
  detail::check_rows("angular_distances", b, dim, "frame");
  const auto norms = [dim](std::span<const float> x) {
    std::vector<double> out;
    for (size_t at = 0; at < x.size(); at += static_cast<size_t>(dim)) {
      double square = 0;
      for (size_t c = 0; c < static_cast<size_t>(dim); ++c)
        square += static_cast<double>(x[at + c]) * static_cast<double>(x[at + c]);
      out.push_back(std::sqrt(square));
    }
    return out;
  };
  const auto of_a = norms(a), of_b = norms(b);
  std::vector<double> out;
  out.reserve(of_a.size() * of_b.size());
  for (size_t i = 0; i < of_a.size(); ++i)
    for (size_t j = 0; j < of_b.size(); ++j) {
      double product = 0;
      for (size_t c = 0; c < static_cast<size_t>(dim); ++c)
        product += static_cast<double>(a[i * static_cast<size_t>(dim) + c]) *
                   static_cast<double>(b[j * static_cast<size_t>(dim) + c]);
      const double norm = of_a[i] * of_b[j];
      out.push_back(norm > 0 ? std::acos(std::clamp(product / norm, -1.0, 1.0)) / std::numbers::pi : 0.5);
    }
  return out;
}

double sequence_distance(std::span<const float> a, std::span<const float> b, long dim) {
  const auto costs = angular_distances(a, b, dim);
  return aligned_distance(costs, static_cast<long>(a.size()) / dim, static_cast<long>(b.size()) / dim);
}

double abx_error(std::span<const AbxItem> items, long dim, AbxSpeakers speakers) {
  // Items of a context and speaker, by category.
  std::map<std::string, std::map<std::string, std::map<std::string, std::vector<size_t>>>> cells;
  for (size_t i = 0; i < items.size(); ++i) {
    detail::check_rows("abx_error", items[i].frames, dim, "frame");
    if (items[i].frames.empty()) throw ShapeError(concat("abx_error: item ", i, " has no frames"));
    cells[items[i].context][items[i].speaker][items[i].category].push_back(i);
  }
  // Of equally cheap alignments that of the rows and that of the columns may differ in steps: X is in the columns
  // always, so that the order of the items does not matter. Both ways share the angles, which cost most.
  std::map<std::pair<size_t, size_t>, double> known;
  const auto distance = [&](size_t i, size_t x) {
    if (const auto at = known.find({i, x}); at != known.end()) return at->second;
    const long rows = static_cast<long>(items[i].frames.size()) / dim;
    const long columns = static_cast<long>(items[x].frames.size()) / dim;
    const auto costs = angular_distances(items[i].frames, items[x].frames, dim);
    std::vector<double> turned(costs.size());
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r)
      for (size_t c = 0; c < static_cast<size_t>(columns); ++c)
        turned[c * static_cast<size_t>(rows) + r] = costs[r * static_cast<size_t>(columns) + c];
    known[{x, i}] = aligned_distance(turned, columns, rows);
    return known[{i, x}] = aligned_distance(costs, rows, columns);
  };
  std::map<std::pair<std::string, std::string>, Mean> pairs;
  for (const auto& [context, by_speaker] : cells) {
    known.clear();  // no triple reaches over contexts
    for (const auto& [speaker, said] : by_speaker)
      for (const auto& [other, heard] : by_speaker) {
        if ((speakers == AbxSpeakers::within) != (speaker == other)) continue;
        for (const auto& [kind, as] : said) {
          const auto xs = heard.find(kind);
          if (xs == heard.end()) continue;
          for (const auto& [other_kind, bs] : said) {
            if (kind == other_kind) continue;
            Mean cell;
            for (const size_t x : xs->second)
              for (const size_t a : as) {
                if (a == x) continue;
                for (const size_t b : bs) {
                  const double to_a = distance(a, x), to_b = distance(b, x);
                  cell.add(to_a < to_b ? 0 : to_a > to_b ? 1 : 0.5);
                }
              }
            if (cell.count > 0) pairs[{kind, other_kind}].add(cell.value());
          }
        }
      }
  }
  if (pairs.empty())
    throw StateError(concat("abx_error: no triple of two categories can be formed of ", items.size(), " items"));
  Mean all;
  for (const auto& [names, mean] : pairs) all.add(mean.value());
  return all.value();
}

}  // namespace phonaut
