#pragma once
// The parameters of a model as a flat list, which is what optimisers, clipping and averaging walk.
#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "phonaut/core/gradients.hpp"
#include "phonaut/core/visit.hpp"
#include "phonaut/training/formula/update.hpp"

namespace phonaut {

/// Chooses parameters by name ("encoder.layers.0.norm.bias") and rank.
using ParameterFilter = std::function<bool(const std::string& name, size_t rank)>;

/// Whether weight decay should act on a parameter: not on vectors and scalars, nor on whatever is called a bias or
/// belongs to a norm. Decay pulls towards zero, and for those zero is no simpler value than another.
inline bool decays_by_default(const std::string& name, size_t rank) {
  return rank >= 2 && name.find("bias") == std::string::npos && name.find("norm") == std::string::npos;
}

/// One parameter, seen as a vector that shares its memory.
template <class B>
struct FlatParameter {
  std::string name;
  std::vector<long> extents;
  Param<B, 1> flat;
  size_t rank() const { return extents.size(); }
};

/// Every parameter below `model` that `filter` accepts, once, even if the model names it twice (tied weights). The
/// list shares the model's memory: it stays right when weights are loaded or trained, and when the model is moved.
template <class B, class Model>
std::vector<FlatParameter<B>> flat_parameters(const Model& model, const ParameterFilter& filter = {}) {
  std::vector<FlatParameter<B>> list;
  std::unordered_set<const void*> seen;
  for_each_param(model, [&](const std::string& name, const auto& p) {
    const auto& t = p.tensor();
    if (t.size() == 0 || (filter && !filter(name, p.shape().size()))) return;
    if (!t.contiguous())
      throw ShapeError(concat("training: parameter ", name, " of shape ", text(p.shape()),
                              " is a strided slice of another tensor, but only whole tensors can be trained"));
    if (!seen.insert(t.data()).second) return;
    list.push_back({name,
                    {p.shape().begin(), p.shape().end()},
                    Param<B, 1>(Tensor<B, 1>(t.storage(), View<typename B::Scalar, 1>(t.data(), {t.size()})))});
  });
  return list;
}

namespace detail {

/// The tensors that an elementwise rule keeps beside each parameter, and the loop that applies it.
template <class B, template <class> class RuleOf>
class ElementwiseState {
 public:
  using S = typename B::Scalar;
  using Rule = RuleOf<S>;
  struct Slot {
    FlatParameter<B> parameter;
    bool decays = false;
    long steps = 0;  ///< updates of this parameter; a step without a gradient for it does not count
    std::array<Tensor<B, 1>, Rule::states> state;
  };

  ElementwiseState() = default;
  ElementwiseState(const B& backend, std::vector<FlatParameter<B>> parameters, const ParameterFilter& decays) {
    for (auto& p : parameters) {
      Slot slot{std::move(p), false, 0, {}};
      slot.decays = decays && decays(slot.parameter.name, slot.parameter.rank());
      for (auto& t : slot.state) {
        t = Tensor<B, 1>::persistent({slot.parameter.flat.size()});
        kernel::fill(backend, t.data(), t.size(), S(0));
      }
      slots_.push_back(std::move(slot));
    }
  }

  const std::vector<Slot>& slots() const { return slots_; }
  std::vector<Slot>& slots() { return slots_; }

  /// Applies `rule(slot)`, called after the slot's count of steps has gone up, wherever there is a gradient.
  template <class MakeRule>
  void apply(const B& backend, const Gradients<B>& gradients, const MakeRule& rule) {
    pieces_.clear();
    for (Slot& slot : slots_) {
      if (!gradients.has(slot.parameter.flat)) continue;
      ++slot.steps;
      kernel::Piece<Rule> piece;
      piece.rule = rule(slot);
      const S* const gradient = gradients[slot.parameter.flat].data();
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
  }

  /// For checkpoints: the states as `<kind>/<parameter>` and the counts of steps.
  template <class Archive, size_t N>
  void checkpoint(Archive& archive, const std::array<const char*, N>& kinds) {
    static_assert(N == static_cast<size_t>(Rule::states));
    for (Slot& slot : slots_) {
      archive("steps/" + slot.parameter.name, slot.steps);
      for (size_t j = 0; j < N; ++j)
        archive.tensor(concat(kinds[j], '/', slot.parameter.name), slot.parameter.extents, slot.state[j]);
    }
  }

 private:
  std::vector<Slot> slots_;
  std::vector<kernel::Piece<Rule>> pieces_;  // kept between steps, so that a step allocates nothing
};

}  // namespace detail
}  // namespace phonaut
