#pragma once
// A second copy of a model that follows the first one slowly: averaged weights for evaluation, the teacher of
// self-distillation, running means.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "phonaut/core/visit.hpp"
#include "phonaut/training/formula/ema.hpp"
#include "phonaut/training/parameters.hpp"
#include "phonaut/training/schedule.hpp"

namespace phonaut {

namespace detail {

inline void copy_bytes(const Reference&, void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
/// States hold elements of four or eight bytes; moved as words, their bits do not change.
inline void copy_bytes(const Cuda& backend, void* to, const void* from, size_t bytes) {
  const long words = static_cast<long>(bytes / sizeof(float));
  kernel::pack(backend, View<const float, 1>(static_cast<const float*>(from), {words}), static_cast<float*>(to));
}

}  // namespace detail

/// average += (1 - keep) · (model - average) for parameters; States (codebooks, statistics) are copied. Start from
/// `auto average = deep_copy(model, backend);`. Holds handles to the weights of both.
template <class B>
class Ema {
 public:
  struct Config {
    Schedule keep = ConstantSchedule{0.999};  ///< as a function of the number of updates before this one
    bool warm_up = true;           ///< keep at most (1 + n) / (10 + n) in update n = 1, 2, …, so that the start fades
    ParameterFilter follows = {};  ///< which parameters; empty: all
  };
  /// The mean of the model after each of the updates: keep = 1 - 1/n.
  static Config running_mean() {
    return {.keep = [](double n) { return n / (n + 1); }, .warm_up = false, .follows = {}};
  }
  /// data2vec's teacher: keep goes up on a straight line, without warm-up.
  static Config data2vec_teacher(double steps = 30000, double start = 0.999, double finish = 0.9999) {
    return {.keep = LinearRamp{start, finish, steps}, .warm_up = false, .follows = {}};
  }
  /// The teacher of BYOL and DINO (and JEPA): keep goes up to 1 on half a cosine over the whole training.
  static Config cosine_teacher(double steps, double start = 0.996) {
    return {.keep = CosineRamp{start, 1, steps}, .warm_up = false, .follows = {}};
  }

  /// Throws ShapeError if the two do not have the same weights, ConfigError if they share one.
  template <class Model>
  Ema(const Model& average, const Model& model, Config config) : config_(std::move(config)) {
    const auto to = flat_parameters<B>(average, config_.follows), from = flat_parameters<B>(model, config_.follows);
    if (to.size() != from.size())
      throw ShapeError(concat("ema: the model has ", from.size(), " parameters, its average ", to.size()));
    for (size_t i = 0; i < to.size(); ++i) {
      if (to[i].name != from[i].name || to[i].extents != from[i].extents)
        throw ShapeError(concat("ema: parameter ", from[i].name, " (", from[i].flat.size(),
                                " elements) of the model meets ", to[i].name, " (", to[i].flat.size(),
                                " elements) of its average"));
      check_apart(to[i].name, to[i].flat.tensor().data(), from[i].flat.tensor().data());
      pairs_.push_back({to[i].flat.tensor(), from[i].flat.tensor()});
    }
    states_ = states_of(average);
    const auto sources = states_of(model);
    if (states_.size() != sources.size())
      throw ShapeError(concat("ema: the model has ", sources.size(), " states, its average ", states_.size()));
    for (size_t i = 0; i < states_.size(); ++i) {
      if (states_[i].bytes != sources[i].bytes)
        throw ShapeError(concat("ema: a state of ", sources[i].bytes, " bytes meets one of ", states_[i].bytes));
      check_apart("a state", states_[i].to.data(), sources[i].to.data());
      states_[i].from = sources[i].to;
    }
  }

  /// Follows the model by one step.
  void update(const B& backend) {
    using S = typename B::Scalar;
    using Rule = kernel::EmaRule<S>;
    const double n = static_cast<double>(updates_++);
    double keep = config_.keep(n);
    if (config_.warm_up) keep = std::min(keep, (2 + n) / (11 + n));
    pieces_.clear();
    for (const Pair& pair : pairs_) {
      const long size = pair.to.size(), step = kernel::elements_per_piece;
      for (long first = 0; first < size; first += step) {
        kernel::Piece<Rule> piece;
        piece.value = pair.to.data() + first;
        piece.gradient = pair.from.data() + first;
        piece.n = std::min(step, size - first);
        piece.rule = Rule{.rest = S(1 - keep)};
        pieces_.push_back(piece);
      }
    }
    update_pieces(backend, View<const kernel::Piece<Rule>, 1>(pieces_.data(), {static_cast<long>(pieces_.size())}));
    for (const StatePair& s : states_) detail::copy_bytes(backend, s.to.data(), s.from.data(), s.bytes);
  }

  long updates() const { return updates_; }

  /// For checkpoints. The average itself is a model: save it as one.
  template <class Archive>
  static void checkpoint(auto& self, Archive& archive) {
    archive("updates", self.updates_);
  }

 private:
  using Memory = typename B::Memory;
  struct Pair {
    Tensor<B, 1> to, from;
  };
  struct StatePair {
    Storage<Memory> to, from;
    size_t bytes = 0;
  };
  static void check_apart(const std::string& name, const void* to, const void* from) {
    if (to == from)
      throw ConfigError(concat("ema: the average shares ", name,
                               " with the model; make it with deep_copy, which gives it weights of its own"));
  }
  template <class Model>
  static std::vector<StatePair> states_of(const Model& model) {
    std::vector<StatePair> list;
    for_each_weight(model, [&]<class W>(const std::string&, const W& weight) {
      if constexpr (!W::trained)
        if (weight.size() > 0)
          list.push_back(
              {weight.tensor().storage(), {}, static_cast<size_t>(weight.size()) * sizeof *weight.tensor().data()});
    });
    return list;
  }

  Config config_;
  std::vector<Pair> pairs_;
  std::vector<StatePair> states_;
  std::vector<kernel::Piece<kernel::EmaRule<typename B::Scalar>>> pieces_;
  long updates_ = 0;
};

}  // namespace phonaut
