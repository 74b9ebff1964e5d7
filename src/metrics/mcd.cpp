#include "phonaut/metrics/mcd.hpp"

#include <cmath>

#include "phonaut/core/error.hpp"
#include "phonaut/metrics/time_alignment.hpp"
#include "rows.hpp"

namespace phonaut {

namespace {

double distortion(const float* a, const float* b, long dim, const McdOptions& options) {
  double square = 0;
  for (long d = options.skip_first ? 1 : 0; d < dim; ++d) {
    const double apart = static_cast<double>(a[d]) - static_cast<double>(b[d]);
    square += apart * apart;
  }
  return 10 / std::log(10.0) * std::sqrt(2 * square);
}
void check(std::span<const float> x, long dim) { detail::check_rows("mel_cepstral_distortion", x, dim, "frame"); }

}  // namespace

std::vector<double> mel_cepstral_distortions(std::span<const float> a, std::span<const float> b, long dim,
                                             const McdOptions& options) {
  check(a, dim);
  check(b, dim);
  if (a.size() != b.size())
    throw ShapeError(concat("mel_cepstral_distortion: there are ", a.size(), " numbers on one side and ", b.size(),
                            " on the other"));
  std::vector<double> out;
  for (size_t at = 0; at < a.size(); at += static_cast<size_t>(dim))
    out.push_back(distortion(a.data() + at, b.data() + at, dim, options));
  return out;
}

double aligned_mel_cepstral_distortion(std::span<const float> a, std::span<const float> b, long dim,
                                       const McdOptions& options) {
  check(a, dim);
  check(b, dim);
  const long rows = static_cast<long>(a.size()) / dim, columns = static_cast<long>(b.size()) / dim;
  std::vector<double> costs;
  costs.reserve(static_cast<size_t>(rows * columns));
  for (long i = 0; i < rows; ++i)
    for (long j = 0; j < columns; ++j)
      costs.push_back(distortion(a.data() + i * dim, b.data() + j * dim, dim, options));
  return aligned_distance(costs, rows, columns);
}

}  // namespace phonaut
