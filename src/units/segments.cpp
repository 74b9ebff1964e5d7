#include "phonaut/units/segments.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "metrics/rows.hpp"
#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {

/// Frames, and sums of them.
class Frames {
 public:
  Frames(std::span<const float> values, long dim) : values_(values.data()), dim_(dim) {
    count_ = static_cast<long>(values.size()) / dim;
  }
  long count() const { return count_; }
  long dim() const { return dim_; }
  const float* row(long t) const { return values_ + t * dim_; }
  double product(long a, long b) const {
    double sums[4] = {};  // four chains, for sums are what takes the time
    const float *x = row(a), *y = row(b);
    long i = 0;
    for (; i + 4 <= dim_; i += 4)
      for (long j = 0; j < 4; ++j) sums[j] += static_cast<double>(x[i + j]) * static_cast<double>(y[i + j]);
    for (; i < dim_; ++i) sums[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }
  std::vector<double> mean(const Segment& s) const {
    std::vector<double> m(static_cast<size_t>(dim_), 0.0);
    for (long t = s.begin; t < s.end; ++t)
      for (long i = 0; i < dim_; ++i) m[static_cast<size_t>(i)] += static_cast<double>(row(t)[i]);
    for (double& v : m) v /= static_cast<double>(s.end - s.begin);
    return m;
  }

 private:
  const float* values_;
  long dim_, count_ = 0;
};

/// The cosine of two vectors; 0 where one of them is zero.
template <class A, class B>
double cosine(const A* a, const B* b, long dim) {
  double ab = 0, aa = 0, bb = 0;
  for (long i = 0; i < dim; ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    ab += x * y, aa += x * x, bb += y * y;
  }
  return aa > 0 && bb > 0 ? ab / (std::sqrt(aa) * std::sqrt(bb)) : 0;
}
double cosine(const std::vector<double>& a, const std::vector<double>& b) {
  return cosine(a.data(), b.data(), static_cast<long>(a.size()));
}

/// Normalised cuts of stretches of frames. Sums over blocks of W are products of sums of frames, so that W itself is
/// never held: with P_t the sum of the frames before t and W = X Xᵀ + c, the block of begin … end has the sum
/// |P_end - P_begin|² + c n², and all rows of it (P_end - P_begin) · P_T + c n T.
class Cuts {
 public:
  explicit Cuts(const Frames& x) : dim_(x.dim()), count_(x.count()) {
    sums_.assign(static_cast<size_t>((count_ + 1) * dim_), 0.0);
    for (long t = 0; t < count_; ++t)
      for (long i = 0; i < dim_; ++i) sum(t + 1)[i] = sum(t)[i] + static_cast<double>(x.row(t)[i]);
    double least = std::numeric_limits<double>::infinity();
    for (long a = 0; a < count_; ++a)
      for (long b = a; b < count_; ++b) least = std::min(least, x.product(a, b));
    shift_ = 1e-7 - least;
  }
  double cost(long begin, long end) const {
    const double *from = sum(begin), *to = sum(end), *all = sum(count_);
    double inside = 0, rows = 0;
    for (long i = 0; i < dim_; ++i) {
      const double d = to[i] - from[i];
      inside += d * d, rows += d * all[i];
    }
    const double n = static_cast<double>(end - begin);
    inside += shift_ * n * n, rows += shift_ * n * static_cast<double>(count_);
    // What leads out counts in both directions, what stays inside once.
    const double out = 2 * (rows - inside);
    return out / (out + inside + 1e-5);
  }

 private:
  double* sum(long t) { return sums_.data() + t * dim_; }
  const double* sum(long t) const { return sums_.data() + t * dim_; }

  long dim_, count_;
  std::vector<double> sums_;
  double shift_ = 0;
};

/// Joins the two neighbours that are most alike, as long as they are alike enough and more than two are left.
void merge_alike(const Frames& x, std::vector<Segment>& segments, double least) {
  std::vector<std::vector<double>> means;
  means.reserve(segments.size());
  for (const Segment& s : segments) means.push_back(x.mean(s));
  while (segments.size() >= 3) {
    size_t best = 0;
    double most = -2;
    for (size_t i = 0; i + 1 < segments.size(); ++i)
      if (const double c = cosine(means[i], means[i + 1]); c > most) most = c, best = i;
    if (most < least) return;
    segments[best].end = segments[best + 1].end;
    means[best] = x.mean(segments[best]);
    segments.erase(segments.begin() + static_cast<long>(best) + 1);
    means.erase(means.begin() + static_cast<long>(best) + 1);
  }
}

}  // namespace

std::vector<Segment> min_cut_segments(std::span<const float> frames, long dim, const MinCut& o) {
  detail::check_rows("min_cut_segments", frames, dim, "frame");
  if (o.shortest < 1 || o.longest < o.shortest || o.segments < 0 || !(o.frames_each > 0))
    throw ConfigError(concat("min_cut_segments: need 1 <= shortest <= longest and a positive length, got ", o.shortest,
                             ", ", o.longest, " and ", o.frames_each));
  const Frames x(frames, dim);
  const long count = x.count();
  if (count == 0) return {};
  const long fewest = (count + o.longest - 1) / o.longest, most = count / o.shortest;
  if (o.segments > 0 && (o.segments < fewest || o.segments > most))
    throw ConfigError(concat("min_cut_segments: ", count, " frames do not divide into ", o.segments, " segments of ",
                             o.shortest, " … ", o.longest));
  const long wanted = o.segments > 0 ? o.segments
                                     : static_cast<long>(std::min(std::ceil(static_cast<double>(count) / o.frames_each),
                                                                  static_cast<double>(count)));
  const long segments = std::min(std::max(wanted, fewest), most);
  if (segments < fewest || segments < 1) return {{0, count}};  // no number of segments keeps both limits

  const Cuts cuts(x);
  constexpr double never = std::numeric_limits<double>::infinity();
  const long row = segments + 1;
  std::vector<double> cost(static_cast<size_t>((count + 1) * row), never);
  std::vector<long> from(cost.size(), 0);
  std::vector<double> own(static_cast<size_t>(o.longest - o.shortest + 1));
  cost[0] = 0;
  for (long end = o.shortest; end <= count; ++end) {
    const long first = std::max(0L, end - o.longest), last = end - o.shortest;
    for (long begin = first; begin <= last; ++begin) own[static_cast<size_t>(begin - first)] = cuts.cost(begin, end);
    for (long k = 1; k <= segments; ++k) {
      const size_t at = static_cast<size_t>(end * row + k);
      for (long begin = first; begin <= last; ++begin)
        if (const double c = cost[static_cast<size_t>(begin * row + k - 1)] + own[static_cast<size_t>(begin - first)];
            c < cost[at])
          cost[at] = c, from[at] = begin;
    }
  }
  std::vector<Segment> found(static_cast<size_t>(segments));
  for (long k = segments, end = count; k > 0; --k) {
    const long begin = from[static_cast<size_t>(end * row + k)];
    found[static_cast<size_t>(k - 1)] = {begin, end};
    end = begin;
  }
  merge_alike(x, found, o.merge);
  return found;
}

std::vector<Segment> similar_runs(std::span<const float> frames, long dim, const SimilarRuns& o) {
  detail::check_rows("similar_runs", frames, dim, "frame");
  const Frames x(frames, dim);
  std::vector<Segment> runs;
  std::vector<std::pair<long, size_t>> borders;  // frame, and the run that ends there
  std::vector<double> mean(static_cast<size_t>(dim), 0.0);
  long begin = -1, counted = 0;  // a mean begins anew with a run, but the count it is weighted by with a stretch
  for (long t = 0; t < x.count(); ++t) {
    const float* const frame = x.row(t);
    if (!(std::sqrt(x.product(t, t)) >= o.least_norm)) {
      if (begin >= 0) runs.push_back({begin, t});
      begin = -1, counted = 0;
      continue;
    }
    if (counted > 0 && cosine(mean.data(), frame, dim) >= o.similarity) {
      const double weight = static_cast<double>(counted);
      for (long i = 0; i < dim; ++i) {
        double& m = mean[static_cast<size_t>(i)];
        m = (m * weight + static_cast<double>(frame[i])) / (weight + 1);
      }
    } else {
      if (counted > 0) {
        runs.push_back({begin, t});
        borders.emplace_back(t, runs.size() - 1);
      }
      std::copy_n(frame, dim, mean.begin());
      begin = t;
    }
    ++counted;
  }
  if (begin >= 0) runs.push_back({begin, x.count()});

  std::vector<char> gone(runs.size(), 0);
  for (const auto& [border, i] : borders) {
    if (i + 1 >= runs.size()) continue;
    Segment &before = runs[i], &after = runs[i + 1];
    const auto left = x.mean(before), right = x.mean(after);
    if (cosine(left, right) >= o.similarity) {
      after.begin = before.begin;
      gone[i] = 1;
      continue;
    }
    // The border may move by half of either run.
    const long from = std::max(before.begin, border - std::max(1L, (before.end - before.begin) / 2)),
               to = std::min(after.end, border + std::max(1L, (after.end - after.begin) / 2));
    double fit = 0;
    for (long t = from; t < to; ++t) fit += cosine(x.row(t), right.data(), dim);
    double most = fit;
    long best = from;
    for (long t = from; t + 1 < to; ++t) {
      fit += cosine(x.row(t), left.data(), dim) - cosine(x.row(t), right.data(), dim);
      if (fit > most) most = fit, best = t + 1;
    }
    before.end = after.begin = best;
  }
  std::vector<Segment> kept;
  for (size_t i = 0; i < runs.size(); ++i)
    if (!gone[i] && runs[i].end > runs[i].begin) kept.push_back(runs[i]);
  return kept;
}

std::vector<float> segment_means(std::span<const float> frames, long dim, std::span<const Segment> segments) {
  detail::check_rows("segment_means", frames, dim, "frame");
  const Frames x(frames, dim);
  std::vector<float> means;
  for (const Segment& s : segments) {
    if (s.begin < 0 || s.begin >= s.end || s.end > x.count())
      throw ShapeError(
          concat("segment_means: the segment ", s.begin, " … ", s.end, " has no place in ", x.count(), " frames"));
    for (const double v : x.mean(s)) means.push_back(static_cast<float>(v));
  }
  return means;
}

}  // namespace phonaut
