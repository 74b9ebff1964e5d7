#include "phonaut/decoders/ctc.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "phonaut/core/error.hpp"

namespace phonaut::detail {

namespace {

constexpr double none = -std::numeric_limits<double>::infinity();

double log_add(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == none ? a : a + std::log1p(std::exp(b - a));
}

/// The beginnings of one utterance's labels that are followed, as leaves of a tree.
class PrefixBeam {
 public:
  PrefixBeam(long classes, long blank, long width, long labels_per_frame)
      : classes_(classes), blank_(blank), width_(static_cast<size_t>(width)), labels_per_frame_(labels_per_frame) {
    nodes_.push_back({});
    followed_.push_back({.node = 0, .silent = 0, .voiced = none, .total = 0});
  }

  /// One frame of log-probabilities of all classes.
  void step(const std::vector<double>& log_p) {
    for (size_t i = 0; i < followed_.size(); ++i) nodes_[followed_[i].node].place = static_cast<long>(i);
    next_.clear();
    for (const Prefix& p : followed_) {
      const Node& node = nodes_[p.node];
      Prefix same{.node = p.node};
      same.silent = p.total + log_p[static_cast<size_t>(blank_)];
      if (p.node != 0) same.voiced = p.voiced + log_p[static_cast<size_t>(node.label)];
      // The same labels also arise from the prefix without the last one, if that is followed too.
      if (p.node != 0 && nodes_[node.parent].place >= 0)
        same.voiced = log_add(same.voiced,
                              extended(followed_[static_cast<size_t>(nodes_[node.parent].place)], node.label, log_p));
      next_.push_back(same);
    }
    add_longer(log_p);
    for (const Prefix& p : followed_) nodes_[p.node].place = -1;
    for (Prefix& p : next_) p.total = log_add(p.silent, p.voiced);
    std::erase_if(next_, [](const Prefix& p) { return p.total == none; });
    // A total order, so that ties fall the same way everywhere.
    const auto better = [](const Prefix& a, const Prefix& b) {
      return a.total != b.total ? a.total > b.total : a.node != b.node ? a.node < b.node : a.label < b.label;
    };
    const size_t kept = std::min(width_, next_.size());
    std::partial_sort(next_.begin(), next_.begin() + static_cast<std::ptrdiff_t>(kept), next_.end(), better);
    next_.resize(kept);
    for (Prefix& p : next_)
      if (p.label >= 0) p.node = child(p.node, p.label), p.label = -1;
    followed_.swap(next_);
  }

  std::vector<CtcHypothesis> hypotheses() const {
    std::vector<CtcHypothesis> out;
    for (const Prefix& p : followed_) {
      CtcHypothesis h{{}, p.total};
      for (size_t node = p.node; node != 0; node = nodes_[node].parent) h.labels.push_back(nodes_[node].label);
      std::reverse(h.labels.begin(), h.labels.end());
      out.push_back(std::move(h));
    }
    return out;
  }

 private:
  struct Node {
    size_t parent = 0;
    long label = -1;
    long place = -1;  ///< among those that are followed; -1 if it is not
  };
  struct Prefix {
    size_t node = 0;
    long label = -1;  ///< if not -1, the prefix is that of `node` and this label, and has no node yet
    double silent = none, voiced = none;  ///< log-probability of alignments that end in a blank, in the last label
    double total = none;                  ///< of both
  };

  /// A label like the last one starts anew behind a blank only.
  double extended(const Prefix& p, long label, const std::vector<double>& log_p) const {
    return log_p[static_cast<size_t>(label)] + (nodes_[p.node].label == label ? p.silent : p.total);
  }
  void add_longer(const std::vector<double>& log_p) {
    candidates_.clear();
    for (long c = 0; c < classes_; ++c)
      if (c != blank_) candidates_.push_back(c);
    if (labels_per_frame_ > 0 && labels_per_frame_ < static_cast<long>(candidates_.size())) {
      std::partial_sort(candidates_.begin(), candidates_.begin() + labels_per_frame_, candidates_.end(),
                        [&](long a, long b) {
                          const double x = log_p[static_cast<size_t>(a)], y = log_p[static_cast<size_t>(b)];
                          return x != y ? x > y : a < b;
                        });
      candidates_.resize(static_cast<size_t>(labels_per_frame_));
    }
    for (const Prefix& p : followed_)
      for (const long label : candidates_) {
        const auto known = children_.find({p.node, label});
        if (known != children_.end() && nodes_[known->second].place >= 0) continue;  // was counted above
        next_.push_back({.node = p.node, .label = label, .voiced = extended(p, label, log_p)});
      }
  }
  size_t child(size_t node, long label) {
    const auto [at, made] = children_.emplace(std::pair{node, label}, nodes_.size());
    if (made) nodes_.push_back({.parent = node, .label = label});
    return at->second;
  }

  long classes_, blank_;
  size_t width_;
  long labels_per_frame_;
  std::vector<Node> nodes_;  // nodes_[0]: no labels
  std::map<std::pair<size_t, long>, size_t> children_;
  std::vector<Prefix> followed_, next_;
  std::vector<long> candidates_;
};

}  // namespace

void check_ctc_decoder(const char* op, long blank, long classes) {
  if (blank < 0 || blank >= classes)
    throw ConfigError(concat(op, ": the blank ", blank, " is none of the ", classes, " classes"));
}

std::vector<CtcLabel> ctc_greedy(std::span<const float> logits, long classes, long blank, CtcStream& stream) {
  std::vector<CtcLabel> said;
  for (auto frame = logits; !frame.empty(); frame = frame.subspan(static_cast<size_t>(classes))) {
    const float* first = frame.data();
    const long best = std::max_element(first, first + classes) - first;
    if (best != stream.last && best != blank) said.push_back({best, stream.frames});
    stream.last = best;
    ++stream.frames;
  }
  return said;
}

std::vector<CtcHypothesis> ctc_prefix_beam(std::span<const float> logits, long classes, long blank, long width,
                                           long labels_per_frame, long n) {
  PrefixBeam beam(classes, blank, width, labels_per_frame);
  std::vector<double> log_p(static_cast<size_t>(classes));
  for (size_t t = 0; t * log_p.size() < logits.size(); ++t) {
    const auto frame = logits.subspan(t * log_p.size(), log_p.size());
    const double largest = *std::max_element(frame.begin(), frame.end());
    double total = 0;
    for (const float v : frame) total += std::exp(static_cast<double>(v) - largest);
    const double norm = largest + std::log(total);
    if (!std::isfinite(norm))
      throw NumericalError(concat("ctc_prefix_beam: the logits of frame ", t, " of utterance ", n, " are not finite"));
    std::transform(frame.begin(), frame.end(), log_p.begin(), [&](float v) { return static_cast<double>(v) - norm; });
    beam.step(log_p);
  }
  return beam.hypotheses();
}

}  // namespace phonaut::detail
