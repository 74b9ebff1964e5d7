#pragma once
// What units know of labels: purities, mutual information, V-measure. W.-N. Hsu et al., "HuBERT", 2021; A. Rosenberg
// and J. Hirschberg, "V-Measure", 2007.
#include <span>

namespace phonaut {

/// With counts n(u, y) of frames that have unit u and label y. Logarithms are natural unless said otherwise.
struct ClusterQuality {
  double label_purity = 0;     ///< Σ_u max_y n / N: how often the commonest label of a unit is right ("phone purity")
  double unit_purity = 0;      ///< Σ_y max_u n / N ("cluster purity")
  double pnmi = 0;             ///< I(y; u) / H(y), the homogeneity; 1 for labels of one kind
  double completeness = 0;     ///< I(y; u) / H(u); 1 for units of one kind
  double v_measure = 0;        ///< the harmonic mean of both
  double unit_entropy = 0;     ///< of the units, in bits
  double unit_perplexity = 0;  ///< 2 to the power of it: as many units, all as frequent, would have that entropy
};

/// One unit and one label for each frame; which numbers they are does not matter. Throws ShapeError for another number
/// of labels than units, or none.
ClusterQuality cluster_quality(std::span<const long> units, std::span<const long> labels);

}  // namespace phonaut
