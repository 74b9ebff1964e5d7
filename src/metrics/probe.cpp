#include "phonaut/metrics/probe.hpp"

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>

#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {

using Matrix = Eigen::MatrixXd;

struct Data {
  Matrix x;  ///< (n, dim)
  std::vector<std::int32_t> classes;
};

/// The rows that have a class, in double.
Data labelled(const char* op, const Labelled& in, long dim) {
  const auto n = static_cast<long>(in.classes.size());
  if (dim < 1 || static_cast<long>(in.rows.size()) != n * dim)
    throw ShapeError(concat(op, ": ", n, " classes do not fit ", in.rows.size(), " numbers in rows of ", dim));
  Data data;
  data.x.resize(n, dim);
  for (long i = 0; i < n; ++i) {
    if (in.classes[static_cast<size_t>(i)] < 0) continue;
    const auto row = static_cast<long>(data.classes.size());
    for (long c = 0; c < dim; ++c) data.x(row, c) = in.rows[static_cast<size_t>(i * dim + c)];
    data.classes.push_back(in.classes[static_cast<size_t>(i)]);
  }
  data.x.conservativeResize(static_cast<long>(data.classes.size()), dim);
  return data;
}

/// Rows of probabilities.
Matrix softmax(Matrix logits) {
  logits.colwise() -= logits.rowwise().maxCoeff().eval();
  logits = logits.array().exp();
  logits.array().colwise() /= logits.rowwise().sum().array().eval();
  return logits;
}

double accuracy(const Matrix& logits, const std::vector<std::int32_t>& classes) {
  if (classes.empty()) return 0;
  long right = 0;
  for (long i = 0; i < logits.rows(); ++i) {
    Eigen::Index best = 0;
    logits.row(i).maxCoeff(&best);
    right += best == classes[static_cast<size_t>(i)];
  }
  return static_cast<double>(right) / static_cast<double>(classes.size());
}

}  // namespace

ProbeResult linear_probe(const Labelled& train_in, const Labelled& test_in, long dim, const ProbeOptions& options) {
  Data train = labelled("linear_probe", train_in, dim), test = labelled("linear_probe", test_in, dim);
  const long n = train.x.rows();
  if (n == 0) return {};
  const Eigen::RowVectorXd mean = train.x.colwise().mean();
  const Eigen::RowVectorXd deviation =
      ((train.x.rowwise() - mean).array().square().colwise().mean().sqrt() + 1e-12).matrix();
  for (Data* data : {&train, &test}) {
    Matrix& x = data->x;
    x.rowwise() -= mean;
    x.array().rowwise() /= deviation.array();
    x.conservativeResize(Eigen::NoChange, dim + 1);
    x.col(dim).setOnes();  // bias
  }
  const long classes = 1 + *std::max_element(train.classes.begin(), train.classes.end());
  Matrix target = Matrix::Zero(n, classes);
  for (long i = 0; i < n; ++i) target(i, train.classes[static_cast<size_t>(i)]) = 1;

  // The Hessian of the cross-entropy is at most XᵀX / 2n in any direction.
  const Matrix gram = train.x.transpose() * train.x / static_cast<double>(n);
  const double lipschitz = 0.5 * gram.operatorNorm() + options.l2;
  Matrix weight = Matrix::Zero(dim + 1, classes), ahead = weight;
  double momentum = 1;
  for (int i = 0; i < options.iterations; ++i) {
    Matrix gradient = train.x.transpose() * (softmax(train.x * ahead) - target) / static_cast<double>(n);
    gradient.topRows(dim) += options.l2 * ahead.topRows(dim);
    const Matrix next = ahead - gradient / lipschitz;
    if ((gradient.array() * (next - weight).array()).sum() > 0) momentum = 1;  // overshot: start the acceleration anew
    const double faster = 0.5 * (1 + std::sqrt(1 + 4 * momentum * momentum));
    ahead = next + (momentum - 1) / faster * (next - weight);
    weight = next;
    momentum = faster;
  }
  return {accuracy(train.x * weight, train.classes), accuracy(test.x * weight, test.classes)};
}

double nearest_neighbour_accuracy(const Labelled& train_in, const Labelled& test_in, long dim, int k) {
  if (k < 1) throw ConfigError(concat("nearest_neighbour_accuracy: k must be at least 1, got ", k));
  Data train = labelled("nearest_neighbour_accuracy", train_in, dim),
       test = labelled("nearest_neighbour_accuracy", test_in, dim);
  if (train.classes.empty() || test.classes.empty()) return 0;
  for (Data* data : {&train, &test}) data->x.array().colwise() /= data->x.rowwise().norm().array().max(1e-12).eval();
  const Matrix similarity = test.x * train.x.transpose();
  const long classes = 1 + *std::max_element(train.classes.begin(), train.classes.end());
  const auto neighbours = std::min<long>(k, train.x.rows());
  std::vector<long> order(static_cast<size_t>(train.x.rows()));
  long right = 0;
  for (long i = 0; i < similarity.rows(); ++i) {
    for (size_t j = 0; j < order.size(); ++j) order[j] = static_cast<long>(j);
    std::partial_sort(order.begin(), order.begin() + neighbours, order.end(), [&](long a, long b) {
      return similarity(i, a) != similarity(i, b) ? similarity(i, a) > similarity(i, b) : a < b;
    });
    // Votes; among classes with as many, the one whose nearest member is nearer.
    std::vector<int> votes(static_cast<size_t>(classes), 0);
    for (long j = 0; j < neighbours; ++j)
      ++votes[static_cast<size_t>(train.classes[static_cast<size_t>(order[static_cast<size_t>(j)])])];
    const int most = *std::max_element(votes.begin(), votes.end());
    for (long j = 0; j < neighbours; ++j) {
      const auto c = train.classes[static_cast<size_t>(order[static_cast<size_t>(j)])];
      if (votes[static_cast<size_t>(c)] != most) continue;
      right += c == test.classes[static_cast<size_t>(i)];
      break;
    }
  }
  return static_cast<double>(right) / static_cast<double>(test.classes.size());
}

}  // namespace phonaut
