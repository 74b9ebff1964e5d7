#include "phonaut/metrics/spectrum.hpp"

#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>

#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {

using Matrix = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

Matrix rows_of(const char* op, std::span<const float> rows, long dim) {
  if (dim < 1 || static_cast<long>(rows.size()) % dim != 0)
    throw ShapeError(concat(op, ": ", rows.size(), " numbers are no whole rows of ", dim));
  return {rows.data(), static_cast<long>(rows.size()) / dim, dim};
}

std::vector<double> eigenvalues(const Eigen::MatrixXd& symmetric) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(symmetric, Eigen::EigenvaluesOnly);
  std::vector<double> values(solver.eigenvalues().data(), solver.eigenvalues().data() + symmetric.rows());
  std::reverse(values.begin(), values.end());
  return values;
}

}  // namespace

std::vector<double> symmetric_eigenvalues(std::span<const double> matrix, long dim) {
  if (dim < 1 || static_cast<long>(matrix.size()) != dim * dim)
    throw ShapeError(concat("eigenvalues: ", matrix.size(), " numbers are no matrix of ", dim, " × ", dim));
  return eigenvalues(Eigen::Map<const Eigen::MatrixXd>(matrix.data(), dim, dim));
}

std::vector<double> covariance_spectrum(std::span<const float> rows, long dim) {
  const Matrix x = rows_of("covariance_spectrum", rows, dim);
  if (x.rows() < 2) return std::vector<double>(static_cast<size_t>(dim), 0.0);
  const Eigen::MatrixXd values = x.cast<double>();
  const Eigen::MatrixXd centred = values.rowwise() - values.colwise().mean();
  return eigenvalues(centred.transpose() * centred / static_cast<double>(x.rows() - 1));
}

double effective_rank(std::span<const float> rows, long dim, double eps) {
  const Matrix x = rows_of("effective_rank", rows, dim);
  if (x.rows() == 0) return 0;
  const Eigen::MatrixXd values = x.cast<double>();
  double total = 0, entropy = 0;
  std::vector<double> singular = eigenvalues(values.transpose() * values);
  // Fewer rows than dimensions: the other singular values do not exist.
  singular.resize(static_cast<size_t>(std::min<long>(dim, x.rows())));
  for (double& s : singular) total += s = std::sqrt(std::max(0.0, s));
  if (total == 0) return 0;
  for (double s : singular) {
    const double p = s / total + eps;
    if (p > 0) entropy -= p * std::log(p);  // 0 log 0 = 0
  }
  return std::exp(entropy);
}

Normality normality(std::span<const float> rows, long dim) {
  const Matrix x = rows_of("normality", rows, dim);
  Normality result;
  if (x.rows() == 0) return result;
  const double share = 1.0 / static_cast<double>(dim);
  for (long c = 0; c < dim; ++c) {
    const Eigen::ArrayXd column = x.col(c).cast<double>().array();
    const double mean = column.mean();
    const Eigen::ArrayXd centred = column - mean;
    const double variance = centred.square().mean();
    result.mean += share * std::fabs(mean);
    result.deviation += share * std::sqrt(variance);
    if (variance < 1e-20) continue;
    result.skewness += share * std::fabs(centred.cube().mean() / std::pow(variance, 1.5));
    result.excess_kurtosis += share * std::fabs(centred.square().square().mean() / (variance * variance) - 3);
  }
  return result;
}

}  // namespace phonaut
