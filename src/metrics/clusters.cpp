#include "phonaut/metrics/clusters.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {

using Counts = std::map<long, double>;

double entropy(const Counts& counts, double all) {
  double h = 0;
  for (const auto& [name, n] : counts) h -= n / all * std::log(n / all);
  return h;
}

}  // namespace

ClusterQuality cluster_quality(std::span<const long> units, std::span<const long> labels) {
  if (units.size() != labels.size() || units.empty())
    throw ShapeError(concat("cluster_quality: there are ", units.size(), " units and ", labels.size(),
                            " labels; need one of each for at least one frame"));
  std::map<std::pair<long, long>, double> joint;
  Counts of_units, of_labels, best_of_units, best_of_labels;
  for (size_t i = 0; i < units.size(); ++i)
    ++joint[{units[i], labels[i]}], ++of_units[units[i]], ++of_labels[labels[i]];
  const double all = static_cast<double>(units.size());
  double information = 0;
  for (const auto& [key, n] : joint) {
    const auto& [unit, label] = key;
    information += n / all * std::log(n * all / (of_units[unit] * of_labels[label]));
    best_of_units[unit] = std::max(best_of_units[unit], n);
    best_of_labels[label] = std::max(best_of_labels[label], n);
  }
  ClusterQuality q;
  for (const auto& [unit, n] : best_of_units) q.label_purity += n / all;
  for (const auto& [label, n] : best_of_labels) q.unit_purity += n / all;
  const double h_units = entropy(of_units, all), h_labels = entropy(of_labels, all);
  q.pnmi = h_labels > 0 ? information / h_labels : 1;
  q.completeness = h_units > 0 ? information / h_units : 1;
  q.v_measure = q.pnmi + q.completeness > 0 ? 2 * q.pnmi * q.completeness / (q.pnmi + q.completeness) : 0;
  q.unit_entropy = h_units / std::log(2.0);
  q.unit_perplexity = std::exp(h_units);
  return q;
}

}  // namespace phonaut
