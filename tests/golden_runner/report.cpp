#include "report.hpp"

#include <algorithm>
#include <cmath>

#include "phonaut/core/error.hpp"

namespace phonaut::golden {

namespace {

/// |got - want|, zero for equal infinities and for NaN where NaN is wanted.
double difference(double got, double want) {
  if (got == want || (std::isnan(got) && std::isnan(want))) return 0;
  const double d = std::fabs(got - want);
  return std::isnan(d) ? INFINITY : d;
}

}  // namespace

void Report::compare(const std::string& key, const std::vector<double>& got, const Counts& counts, bool wanted) {
  settled_.insert(key);
  if (!file_.has(key)) {
    if (wanted) fail(key, "is not in the file");
    return;
  }
  const std::vector<double> want = file_.values(key);
  if (got.size() != want.size())
    return fail(key, concat("has ", want.size(), " elements in the file, but we compute ", got.size()));

  double scale = 0;
  for (double w : want)
    if (std::isfinite(w)) scale = std::max(scale, std::fabs(w));
  if (key.starts_with("grad.")) scale = std::max(scale, 1e-3 * file_.largest_gradient());

  const Rule rule = file_.rule(key);
  double absolute = 0, relative = 0, excess = 0, square_of_difference = 0, square_of_want = 0;
  size_t at = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    if (counts && !counts(static_cast<long>(i))) continue;
    const double d = difference(got[i], want[i]);
    absolute = std::max(absolute, d);
    relative = std::max(relative, scale > 0 ? d / scale : d > 0 ? INFINITY : 0);
    square_of_difference += d * d;
    square_of_want += want[i] * want[i];
    const double limit = rule.kind == Rule::Kind::allclose
                             ? rule.atol + (std::isfinite(want[i]) ? rule.rtol * std::fabs(want[i]) : 0)
                             : rule.tolerance * scale;
    const double over = d > limit ? (limit > 0 ? d / limit : INFINITY) : 0;
    if (over > excess) excess = over, at = i;
  }
  bool ok = excess == 0;
  if (rule.kind == Rule::Kind::norm) ok = std::sqrt(square_of_difference) <= rule.tolerance * std::sqrt(square_of_want);
  entries_.push_back({key, absolute, relative});
  absolute_ = std::max(absolute_, absolute);
  if (relative > relative_ || worst_key_ == "-") {
    relative_ = relative;
    worst_key_ = key;
  }
  if (ok) return;
  if (rule.kind == Rule::Kind::norm)
    fail(key, concat("differs by ", std::sqrt(square_of_difference / square_of_want), " of its norm, allowed are ",
                     rule.tolerance));
  else if (!std::isfinite(excess)) fail(key, concat("element ", at, " is ", got[at], ", wanted ", want[at]));
  else fail(key, concat("element ", at, " is ", got[at], ", wanted ", want[at], ": ", excess, " times the tolerance"));
}

void Report::compare_exactly(const std::string& key, const std::vector<long>& got) {
  settled_.insert(key);
  if (!file_.has(key)) return fail(key, "is not in the file");
  const std::vector<long> want = file_.integers(key);
  if (got.size() != want.size())
    return fail(key, concat("has ", want.size(), " elements in the file, but we compute ", got.size()));
  if (worst_key_ == "-") worst_key_ = key;
  for (size_t i = 0; i < want.size(); ++i)
    if (got[i] != want[i]) return fail(key, concat("element ", i, " is ", got[i], ", wanted ", want[i]));
}

void Report::excuse(const std::string& key, const char*) { settled_.insert(key); }

void Report::fail(const std::string& key, const std::string& why) { failures_.push_back(key + ": " + why); }

void Report::finish() {
  long compared = 0;
  for (const SafetensorsInfo& entry : file_.entries()) {
    const bool result = entry.name.starts_with("output.") || entry.name.starts_with("grad.");
    if (result && !settled(entry.name)) fail(entry.name, "was not computed");
    compared += result;
  }
  if (compared == 0) fail(file_.path(), "holds no output and no gradient");
}

}  // namespace phonaut::golden
