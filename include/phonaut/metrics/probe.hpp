#pragma once
// What frozen embeddings know: a linear classifier on top of them, and their nearest neighbours.
#include <cstdint>
#include <span>
#include <vector>

namespace phonaut {

/// Embeddings with the classes that they should tell; a negative class is left out.
struct Labelled {
  std::span<const float> rows;            ///< (n, dim)
  std::span<const std::int32_t> classes;  ///< (n)
};

/// Share of right answers, 0 … 1; 0 of nothing to answer.
struct ProbeResult {
  double train = 0, test = 0;
};

struct ProbeOptions {
  double l2 = 1e-3;  ///< of the weights (not the bias), per recording
  int iterations = 400;
};

/// Multinomial logistic regression on standardised features (statistics of `train`), fitted to the same point whatever
/// the order of rows: accelerated gradient descent with the step 1/L (Nesterov 1983, restarted when it overshoots).
/// Throws ShapeError if rows and classes do not fit.
ProbeResult linear_probe(const Labelled& train, const Labelled& test, long dim, const ProbeOptions& options = {});

/// Share of `test` whose class is that of most of its `k` nearest rows of `train` by cosine; ties go to the nearer.
/// Throws ShapeError if rows and classes do not fit, ConfigError for k < 1.
double nearest_neighbour_accuracy(const Labelled& train, const Labelled& test, long dim, int k = 5);

}  // namespace phonaut
