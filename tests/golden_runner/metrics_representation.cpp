// Handlers of metrics over embeddings, units and scores.
#include "phonaut/metrics/abx.hpp"
#include "phonaut/metrics/clusters.hpp"
#include "phonaut/metrics/mcd.hpp"
#include "phonaut/metrics/similarity.hpp"
#include "phonaut/metrics/spectrum.hpp"
#include "phonaut/metrics/verification.hpp"
#include "registry.hpp"

namespace phonaut::golden {
namespace {

using Numbers = std::vector<double>;

template <class G>
std::vector<float> floats(G& g, const std::string& key) {
  const auto values = g.values(key);
  return {values.begin(), values.end()};
}
template <class G>
void want(const G& g, const std::string& key, const std::string& value) {
  if (g.config.text(key, value) != value) throw Unsupported(key + " " + g.config.text(key));
}

const Register abx_op("loss.metric_abx", [](auto& g) {
  want(g, "distance", "arccos(cosine)/pi");
  want(g, "normalise", "path length");
  want(g, "ties", "0.5");
  const long dim = g.shape("input.a")[1];
  const auto a = floats(g, "input.a"), b = floats(g, "input.b"), x = floats(g, "input.x");
  g.output("frame_distance_ax", angular_distances(a, x, dim));
  g.output("dtw_ax", Numbers{sequence_distance(a, x, dim)});
  g.output("dtw_bx", Numbers{sequence_distance(b, x, dim)});
  const std::vector<AbxItem> items = {{a, "a", "", "1"}, {b, "b", "", "1"}, {x, "a", "", "2"}};
  g.output("error", Numbers{abx_error(items, dim, AbxSpeakers::across)});
});

const Register eer_op("loss.metric_eer", [](auto& g) {
  want(g, "decision", "score >= threshold");
  want(g, "interpolation", "linear between ROC points");
  const auto scores = floats(g, "input.scores");
  const auto labels = g.integers("input.labels");
  const RocCurve curve = roc_curve(scores, labels);
  g.output("far", curve.false_accepts);
  g.output("tar", curve.true_accepts);
  g.output("eer", Numbers{equal_error_rate(scores, labels)});
});

const Register mcd_op("loss.metric_mcd", [](auto& g) {
  const auto frames = mel_cepstral_distortions(floats(g, "input.a"), floats(g, "input.b"), g.shape("input.a")[1],
                                               {.skip_first = g.config.flag("skip_c0", true)});
  double mean = 0;
  for (const double d : frames) mean += d / static_cast<double>(frames.size());
  g.output("per_frame_db", frames);
  g.output("mcd_db", Numbers{mean});
});

const Register representation_op("loss.metric_representation", [](auto& g) {
  want(g, "cka", "linear");
  const auto x = floats(g, "input.x"), y = floats(g, "input.y");
  const long dim_x = g.shape("input.x")[1], dim_y = g.shape("input.y")[1];
  g.output("linear_cka", Numbers{linear_cka(x, dim_x, y, dim_y)});
  const auto correlations = canonical_correlations(x, dim_x, y, dim_y);
  g.output("cca_rho", correlations.values);
  g.output("mean_cca", Numbers{correlations.mean});
  g.output("pwcca", Numbers{correlations.weighted});
  g.output("participation_ratio", Numbers{participation_ratio(x, dim_x)});
  g.output("rankme", Numbers{effective_rank(x, dim_x, g.config.number("rankme_eps", 1e-7))});
  std::vector<float> first;  // columns of x, as many as y has
  for (size_t i = 0; i < x.size(); ++i)
    if (static_cast<long>(i) % dim_x < dim_y) first.push_back(x[i]);
  g.output("alignment", Numbers{alignment(first, y, dim_y, g.config.number("alignment_power", 2))});
  g.output("uniformity", Numbers{uniformity(first, dim_y, g.config.number("uniformity_t", 2))});
});

const Register units_op("loss.metric_units", [](auto& g) {
  const auto q = cluster_quality(g.integers("input.units"), g.integers("input.labels"));
  g.output("phone_purity", Numbers{q.label_purity});
  g.output("cluster_purity", Numbers{q.unit_purity});
  g.output("pnmi", Numbers{q.pnmi});
  g.output("homogeneity", Numbers{q.pnmi});
  g.output("completeness", Numbers{q.completeness});
  g.output("v_measure", Numbers{q.v_measure});
  g.output("unit_entropy_bits", Numbers{q.unit_entropy});
  g.output("unit_perplexity", Numbers{q.unit_perplexity});
});

}  // namespace
}  // namespace phonaut::golden
