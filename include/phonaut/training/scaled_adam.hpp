#pragma once
// Adam whose steps are as large as the parameters themselves, with clipping by the recent past.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "phonaut/training/formula/product_sum.hpp"
#include "phonaut/training/formula/scaled_adam.hpp"
#include "phonaut/training/parameters.hpp"

namespace phonaut {

/// ScaledAdam (Yao et al., "Zipformer", 2023, section 3.5), the optimiser of the Zipformer recipe, together with its
/// clipping. Updates of a parameter are multiplied by the parameter's size (the root of its mean square), so that one
/// learning rate serves large and small ones; every `size_period` steps the size itself is learned, by a slower Adam
/// over the products of parameter and gradient. Parameters of one element are moved by plain Adam.
///
/// Clipping looks at the norm of the gradients, each times the size of its parameter, of the last `clip_period` steps:
/// what exceeds `clip` times their median is scaled down. A step whose norm is not finite counts as one with zero
/// gradients. Give a Trainer `.clip = infinity`, so that it does not clip a second time.
///
/// Wants learning rates of about 0.045 with the schedule Eden. Parameters without a gradient count as having a zero
/// one. Everything else about a step is the same for all parameters at once, in one pass over memory: there is no need
/// to stack those of one shape.
template <class B>
class ScaledAdam {
 public:
  using S = typename B::Scalar;
  /// Parameters with a learning rate of their own, times that of the step; they are clipped among themselves.
  struct Group {
    ParameterFilter chooses;
    double rate = 1;
  };
  struct Config {
    double beta1 = 0.9, beta2 = 0.98;
    double epsilon = 1e-8;
    double scalar_rate = 0.1;                 ///< of parameters of one element and of sizes, times the learning rate
    double least_size = 1e-5, most_size = 3;  ///< smaller ones step as if they had it; larger ones may not grow
    double most_scalar = 10;                  ///< parameters of one element stay within ± this
    long size_period = 4;                     ///< steps between updates of the sizes
    double clip = 2;                          ///< times the median; infinity: no clipping
    long clip_period = 100;                   ///< steps that are remembered, and between updates of the median
    std::vector<Group> groups = {};           ///< a parameter is in the first that chooses it, or in one behind them
    ParameterFilter trains = {};              ///< which parameters this optimiser is for; empty: all
  };
  struct Slot {
    FlatParameter<B> parameter;
    size_t group = 0;
    std::array<Tensor<B, 1>, 2> state;  ///< momentum of the update, mean square of the gradient
    Tensor<Reference, 1, double> size;  ///< size, mean square of its gradient, its last `size_period` gradients
    bool scalar() const { return parameter.flat.size() == 1; }
  };
  /// What clipping did in the last step, for one group.
  struct Clipped {
    double norm = 0;        ///< of the gradients, each times the size of its parameter
    double threshold = -1;  ///< what the norm was held against; -1 until it is known, at step 10
    double scale = 1;       ///< what the gradients were multiplied with
  };

  /// Throws ConfigError for betas outside of [0, 1), numbers that must be positive and are not, or periods below 1.
  template <class Model>
  ScaledAdam(const B& backend, const Model& model, Config config = {}) : config_(std::move(config)) {
    check();
    for (auto& p : flat_parameters<B>(model, config_.trains)) {
      Slot slot;
      while (slot.group < config_.groups.size() && !config_.groups[slot.group].chooses(p.name, p.rank())) ++slot.group;
      for (auto& t : slot.state) {
        t = Tensor<B, 1>::persistent({p.flat.size()});
        kernel::fill(backend, t.data(), t.size(), S(0));
      }
      slot.size = Tensor<Reference, 1, double>::persistent({2 + config_.size_period});
      std::fill_n(slot.size.data(), slot.size.size(), 0.0);
      pairs_ += static_cast<size_t>((p.flat.size() + kernel::elements_per_piece - 1) / kernel::elements_per_piece);
      largest_ = std::max(largest_, p.flat.size());
      slot.parameter = std::move(p);
      slots_.push_back(std::move(slot));
    }
    stretches_.reserve(pairs_);
    host_sums_.resize(pairs_);
    sums_ = Tensor<B, 1, double>::persistent({3 * static_cast<long>(pairs_)});
    records_.resize(config_.groups.size() + 1);
    for (Record& r : records_) {
      r.norms = Tensor<Reference, 1, double>::persistent({config_.clip_period});
      std::fill_n(r.norms.data(), config_.clip_period, 0.0);
    }
    found_.resize(slots_.size());
  }

  /// One update with learning rate `rate` and gradients times `scale`. Throws NumericalError, and changes nothing, when
  /// the median of the norms is not finite.
  void step(const B& backend, const Gradients<B>& gradients, double rate, double scale = 1) {
    measure(backend, gradients, scale);
    const long t = steps_;
    if (t == 0)
      for (size_t i = 0; i < slots_.size(); ++i) slots_[i].size.data()[0] = root_mean(i);
    clip();
    pieces_.clear();
    for (size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      const double clipped = records_[slot.group].last.scale, r = rate * rate_of(slot.group);
      kernel::Piece<Rule> piece;
      piece.rule = rule(i, r, clipped * scale, clipped);
      const S* gradient =
          clipped == 0 || !gradients.has(slot.parameter.flat) ? zeros(backend) : gradients[slot.parameter.flat].data();
      const long size = slot.parameter.flat.size(), step = kernel::elements_per_piece;
      for (long first = 0; first < size; first += step) {
        piece.value = slot.parameter.flat.tensor().data() + first;
        piece.gradient = gradient + first;
        for (size_t j = 0; j < slot.state.size(); ++j) piece.state[j] = slot.state[j].data() + first;
        piece.n = std::min(step, size - first);
        pieces_.push_back(piece);
      }
    }
    update_pieces(backend, View<const kernel::Piece<Rule>, 1>(pieces_.data(), {static_cast<long>(pieces_.size())}));
    ++steps_;
  }

  const Config& config() const { return config_; }
  const std::vector<Slot>& slots() const { return slots_; }
  /// What clipping did in the last step. The last group holds the parameters that no other one chose.
  const Clipped& clipped(size_t group) const { return records_.at(group).last; }
  const Clipped& clipped() const { return records_.back().last; }

  template <class Archive>
  static void checkpoint(auto& self, Archive& archive) {
    archive("steps", self.steps_);
    for (auto& slot : self.slots_) {
      archive.tensor("m/" + slot.parameter.name, slot.parameter.extents, slot.state[0]);
      archive.tensor("v/" + slot.parameter.name, slot.parameter.extents, slot.state[1]);
      archive.tensor("size/" + slot.parameter.name, {slot.size.size()}, slot.size);
    }
    for (size_t g = 0; g < self.records_.size(); ++g) {
      archive.tensor(concat("norms/", g), {self.config_.clip_period}, self.records_[g].norms);
      archive(concat("threshold/", g), self.records_[g].last.threshold);
    }
  }

 private:
  using Rule = kernel::ScaledAdamRule<S>;
  struct Record {
    Tensor<Reference, 1, double> norms;  ///< of step t at t mod clip_period
    Clipped last;
  };

  void check() const {
    const Config& c = config_;
    if (!(c.beta1 >= 0 && c.beta1 < 1 && c.beta2 >= 0 && c.beta2 < 1))
      throw ConfigError(concat("scaled_adam: betas must be in [0, 1), got ", c.beta1, " and ", c.beta2));
    if (!(c.epsilon > 0 && c.scalar_rate > 0 && c.least_size > 0 && c.most_size > 0 && c.most_scalar > 0 && c.clip > 0))
      throw ConfigError(concat(
          "scaled_adam: epsilon, scalar_rate, least_size, most_size, most_scalar and clip must be "
          "positive, got ",
          c.epsilon, ", ", c.scalar_rate, ", ", c.least_size, ", ", c.most_size, ", ", c.most_scalar, " and ", c.clip));
    if (c.size_period < 1 || c.clip_period < 1)
      throw ConfigError(concat("scaled_adam: size_period and clip_period must be at least 1, got ", c.size_period,
                               " and ", c.clip_period));
    for (const Group& g : c.groups)
      if (!g.chooses || !(g.rate >= 0))
        throw ConfigError(concat("scaled_adam: a group needs a filter and a rate that is not negative, got ",
                                 g.chooses ? "a filter" : "none", " and ", g.rate));
  }
  double rate_of(size_t group) const { return group < config_.groups.size() ? config_.groups[group].rate : 1; }

  /// found_[i] = Σ p², Σ p g, Σ g² of parameter i, with g times `scale`.
  void measure(const B& backend, const Gradients<B>& gradients, double scale) {
    stretches_.clear();
    for (const Slot& slot : slots_) {
      const S* const p = slot.parameter.flat.tensor().data();
      const S* const g = gradients.has(slot.parameter.flat) ? gradients[slot.parameter.flat].data() : zeros(backend);
      for (long first = 0; first < slot.parameter.flat.size(); first += kernel::elements_per_piece)
        stretches_.push_back(
            {p + first, g + first, std::min(kernel::elements_per_piece, slot.parameter.flat.size() - first)});
    }
    auto* const sums = reinterpret_cast<kernel::ProductSums*>(sums_.data());
    product_sums(backend,
                 View<const kernel::StretchPair<S>, 1>(stretches_.data(), {static_cast<long>(stretches_.size())}),
                 sums);
    kernel::download(backend, host_sums_.data(), sums, stretches_.size() * sizeof(kernel::ProductSums));
    size_t k = 0;
    for (size_t i = 0; i < slots_.size(); ++i) {
      kernel::ProductSums total{};
      for (long first = 0; first < slots_[i].parameter.flat.size(); first += kernel::elements_per_piece, ++k) {
        total.xx += host_sums_[k].xx;
        total.xz += host_sums_[k].xz;
        total.zz += host_sums_[k].zz;
      }
      found_[i] = {total.xx, scale * total.xz, scale * scale * total.zz};
    }
  }
  double root_mean(size_t i) const {
    return std::sqrt(found_[i].xx / static_cast<double>(slots_[i].parameter.flat.size()));
  }

  /// Finds each group's scale and threshold. In step 0 nothing is clipped: sizes were not known before it.
  void clip() {
    if (!std::isfinite(config_.clip) || steps_ == 0) return;
    std::vector<double>& square = squares_;
    square.assign(records_.size(), 0.0);
    for (size_t i = 0; i < slots_.size(); ++i) {
      const double size = slots_[i].scalar() ? config_.scalar_rate : slots_[i].size.data()[0];
      square[slots_[i].group] += size * size * found_[i].zz;
    }
    const long at = steps_ % config_.clip_period;
    const bool early = (steps_ == 10 || steps_ == 20 || steps_ == 40) && steps_ < config_.clip_period;
    thresholds_.clear();  // first: nothing may have changed when one of them throws
    for (size_t g = 0; g < records_.size(); ++g)
      thresholds_.push_back(early || at == 0 ? threshold(records_[g], std::sqrt(square[g]), at, early)
                                             : records_[g].last.threshold);
    for (size_t g = 0; g < records_.size(); ++g) {
      const double norm = std::sqrt(square[g]);
      records_[g].norms.data()[at] = norm;
      const double scale = thresholds_[g] < 0 ? 1 : std::min(1.0, thresholds_[g] / (norm + 1e-20));
      records_[g].last = {norm, thresholds_[g], std::isnan(norm) ? 0 : scale};
    }
  }
  /// `clip` times the median of the recorded norms, with `norm` at `at`: in the first steps of those there are, and
  /// twice as much, because norms change quickly then.
  double threshold(const Record& record, double norm, long at, bool early) {
    sorted_.assign(record.norms.data(), record.norms.data() + record.norms.size());
    sorted_[static_cast<size_t>(at)] = norm;
    std::sort(sorted_.begin(), sorted_.end(), [](double a, double b) {  // not-a-numbers last
      return std::isnan(a) ? false : std::isnan(b) || a < b;
    });
    const size_t n = early ? static_cast<size_t>(steps_) : sorted_.size();
    const double median = sorted_[sorted_.size() - n + std::min(n - 1, n / 4 * 2)];
    if (!std::isfinite(median))
      throw NumericalError(
          concat("scaled_adam: the median of the gradients' norms in the last ", n, " steps is ", median));
    return config_.clip * median * (early ? 2 : 1);
  }

  /// The numbers of parameter i in this step; learns its size where it is due.
  Rule rule(size_t i, double rate, double scale, double clipped) {
    Slot& slot = slots_[i];
    const Config& c = config_;
    const double t = static_cast<double>(steps_), correction = 1 - std::pow(c.beta2, t + 1);
    Rule r{.scale = S(clipped == 0 ? 0 : scale),
           .rest1 = S(1 - c.beta1),
           .rest2 = S(1 - c.beta2),
           .rate = S(rate * c.scalar_rate),
           .root = S(correction < 0.99 ? 1 / std::sqrt(correction) : 1),
           .epsilon = S(c.epsilon),
           .grow = S(0),
           .most = slot.scalar() ? S(c.most_scalar) : std::numeric_limits<S>::infinity()};
    if (slot.scalar()) return r;
    double &size = slot.size.data()[0], &square = slot.size.data()[1];
    double* const products = slot.size.data() + 2;
    const long at = steps_ % c.size_period;
    products[at] = clipped == 0 ? 0 : clipped * found_[i].xz;
    if (at == c.size_period - 1) {
      size = root_mean(i);
      if (steps_ > 0) r.grow = S(growth(rate, size, square, products));
    }
    r.rate = S(rate * std::max(size, c.least_size));
    return r;
  }
  /// How much a parameter of that size grows, in proportion; `square` is the mean square of its gradient of size.
  double growth(double rate, double size, double& square, const double* products) const {
    const Config& c = config_;
    const double period = static_cast<double>(c.size_period), keep = std::pow(c.beta2, period);
    double total = 0, squares = 0;
    for (long k = 0; k < c.size_period; ++k) {
      total += products[k];
      squares += products[k] * products[k];
    }
    square += (1 - keep) * (squares / period - square);
    const double updates = static_cast<double>((steps_ + 1) / c.size_period);
    if (size < c.least_size) return std::min(0.0, (c.most_size - size) / size);
    const double step =
        -rate * c.scalar_rate * std::sqrt(1 - std::pow(keep, updates)) * total / (std::sqrt(square) + c.epsilon);
    return std::min(std::clamp(step, -0.1, 0.1), (c.most_size - size) / size);
  }

  /// A gradient of zeros, made when it is first needed.
  const S* zeros(const B& backend) {
    if (!zeros_) {
      zeros_ = Tensor<B, 1>::persistent({largest_});
      kernel::fill(backend, zeros_.data(), largest_, S(0));
    }
    return zeros_.data();
  }

  Config config_;
  std::vector<Slot> slots_;
  std::vector<Record> records_;
  long steps_ = 0, largest_ = 0;
  size_t pairs_ = 0;
  Tensor<B, 1> zeros_;
  Tensor<B, 1, double> sums_;
  // Kept between steps, so that a step allocates nothing.
  std::vector<kernel::StretchPair<S>> stretches_;
  std::vector<kernel::ProductSums> host_sums_, found_;
  std::vector<double> squares_, sorted_, thresholds_;
  std::vector<kernel::Piece<Rule>> pieces_;
};

}  // namespace phonaut
