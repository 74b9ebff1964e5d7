#include "phonaut/metrics/similarity.hpp"

#include <Eigen/QR>
#include <Eigen/SVD>
#include <algorithm>
#include <cmath>

#include "phonaut/core/error.hpp"
#include "phonaut/metrics/spectrum.hpp"
#include "rows.hpp"

namespace phonaut {

namespace {

using Matrix = Eigen::MatrixXd;

Matrix rows_of(const char* op, std::span<const float> rows, long dim) {
  detail::check_rows(op, rows, dim, "row");
  return Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
             rows.data(), static_cast<long>(rows.size()) / dim, dim)
      .cast<double>();
}
Matrix centred(const Matrix& x) { return x.rowwise() - x.colwise().mean(); }
/// Rows at unit length; zeros stay.
Matrix unit(Matrix x) {
  for (long i = 0; i < x.rows(); ++i)
    if (const double norm = x.row(i).norm(); norm > 0) x.row(i) /= norm;
  return x;
}
void check_same_rows(const char* op, const Matrix& x, const Matrix& y) {
  if (x.rows() != y.rows() || x.rows() == 0)
    throw ShapeError(concat(op, ": there are ", x.rows(), " rows on one side and ", y.rows(),
                            " on the other; need the same number, at least one"));
}
/// An orthonormal basis of the columns' span.
Matrix basis(const Matrix& x) {
  const Eigen::ColPivHouseholderQR<Matrix> qr(x);
  if (qr.rank() == 0) return Matrix(x.rows(), 0);
  return qr.householderQ() * Matrix::Identity(x.rows(), qr.rank());
}

}  // namespace

double linear_cka(std::span<const float> x, long dim_x, std::span<const float> y, long dim_y) {
  const Matrix a = rows_of("linear_cka", x, dim_x), b = rows_of("linear_cka", y, dim_y);
  check_same_rows("linear_cka", a, b);
  const Matrix xc = centred(a), yc = centred(b);
  const double norms = (xc.transpose() * xc).norm() * (yc.transpose() * yc).norm();
  return norms > 0 ? (yc.transpose() * xc).squaredNorm() / norms : 0;
}

CanonicalCorrelations canonical_correlations(std::span<const float> x, long dim_x, std::span<const float> y,
                                             long dim_y) {
  const Matrix a = rows_of("canonical_correlations", x, dim_x), b = rows_of("canonical_correlations", y, dim_y);
  check_same_rows("canonical_correlations", a, b);
  const Matrix xc = centred(a), yc = centred(b), of_x = basis(xc), of_y = basis(yc);
  CanonicalCorrelations out;
  if (of_x.cols() == 0 || of_y.cols() == 0) return out;
  const Eigen::JacobiSVD<Matrix> svd(of_x.transpose() * of_y, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Matrix directions = of_x * svd.matrixU();
  double weights = 0;
  for (long i = 0; i < svd.singularValues().size(); ++i) {
    const double rho = std::min(1.0, svd.singularValues()(i));
    const double weight = (directions.col(i).transpose() * xc).cwiseAbs().sum();
    out.values.push_back(rho);
    out.mean += rho / static_cast<double>(svd.singularValues().size());
    out.weighted += weight * rho;
    weights += weight;
  }
  out.weighted = weights > 0 ? out.weighted / weights : 0;
  return out;
}

double participation_ratio(std::span<const float> rows, long dim) {
  detail::check_rows("participation_ratio", rows, dim, "row");
  double sum = 0, squares = 0;
  for (const double value : covariance_spectrum(rows, dim)) sum += value, squares += value * value;
  return squares > 0 ? sum * sum / squares : 0;
}

double alignment(std::span<const float> x, std::span<const float> y, long dim, double power) {
  const Matrix a = unit(rows_of("alignment", x, dim)), b = unit(rows_of("alignment", y, dim));
  check_same_rows("alignment", a, b);
  return (a - b).rowwise().norm().array().pow(power).mean();
}

double uniformity(std::span<const float> rows, long dim, double t) {
  const Matrix x = unit(rows_of("uniformity", rows, dim));
  if (x.rows() < 2) throw ShapeError(concat("uniformity: needs at least two rows, got ", x.rows()));
  double total = 0;
  for (long i = 0; i < x.rows(); ++i)
    for (long j = i + 1; j < x.rows(); ++j) total += std::exp(-t * (x.row(i) - x.row(j)).squaredNorm());
  return std::log(total / (0.5 * static_cast<double>(x.rows()) * static_cast<double>(x.rows() - 1)));
}

}  // namespace phonaut
