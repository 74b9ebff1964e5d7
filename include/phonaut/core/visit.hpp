#pragma once
// One list of names per layer. A layer names each member once,
//
//   static void visit(auto& self, auto&& f) { f("norm", self.norm); f("up", self.up); f("down", self.down); }
//
// and loading, saving, optimising, counting, copying and printing all walk that list.
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "phonaut/core/primitives.hpp"
#include "phonaut/core/var.hpp"

namespace phonaut {

namespace detail {

template <class T>
struct is_weight : std::false_type {};
template <class B, size_t R>
struct is_weight<Param<B, R>> : std::true_type {};
template <class B, size_t R, class T>
struct is_weight<State<B, R, T>> : std::true_type {};

template <class T>
concept WeightLike = is_weight<std::remove_cvref_t<T>>::value;

template <class T>
struct is_list : std::false_type {};
template <class T>
struct is_list<std::vector<T>> : std::true_type {};
template <class T, size_t N>
struct is_list<std::array<T, N>> : std::true_type {};

template <class T>
struct is_maybe : std::false_type {};
template <class T>
struct is_maybe<std::optional<T>> : std::true_type {};
template <class T>
struct is_maybe<std::unique_ptr<T>> : std::true_type {};

inline std::string join(const std::string& prefix, const std::string& name) {
  if (prefix.empty()) return name;
  if (name.empty()) return prefix;
  return prefix + "." + name;
}

}  // namespace detail

/// Calls f(name, weight) for every Param and State below `layer`, depth first, in the order of its `visit`. Lists name
/// their entries by index ("layers.0.norm.bias"); an empty optional is passed over; an empty name adds no level.
template <class Layer, class F>
void for_each_weight(Layer& layer, const F& f, const std::string& prefix = {}) {
  using Plain = std::remove_cv_t<Layer>;
  if constexpr (detail::WeightLike<Plain>) {
    if (layer) f(prefix, layer);
  } else if constexpr (detail::is_list<Plain>::value) {
    size_t i = 0;
    for (auto& entry : layer) for_each_weight(entry, f, detail::join(prefix, std::to_string(i++)));
  } else if constexpr (detail::is_maybe<Plain>::value) {
    if (layer) for_each_weight(*layer, f, prefix);
  } else {
    Plain::visit(layer,
                 [&](const char* name, auto& member) { for_each_weight(member, f, detail::join(prefix, name)); });
  }
}

/// Calls f(name, param) for what an optimiser trains.
template <class Layer, class F>
void for_each_param(Layer& layer, const F& f, const std::string& prefix = {}) {
  for_each_weight(
      layer,
      [&](const std::string& name, auto& weight) {
        if constexpr (std::remove_cvref_t<decltype(weight)>::trained) f(name, weight);
      },
      prefix);
}

/// Number of trained elements.
template <class Layer>
long parameter_count(const Layer& layer) {
  long n = 0;
  for_each_param(layer, [&](const std::string&, const auto& p) { n += p.size(); });
  return n;
}

namespace detail {

/// y = x. Whole numbers (flags and counts among the states), for which not every backend has a kernel, go by way of the
/// host; they are packed.
template <class B, class T, size_t R>
void copy_weight(const B& backend, View<const T, R> x, T* y) {
  if constexpr (requires { kernel::pack(backend, x, y); }) {
    kernel::pack(backend, x, y);
  } else {
    std::vector<T> host(static_cast<size_t>(x.size()));
    kernel::download(backend, host.data(), x.data, host.size() * sizeof(T));
    kernel::upload(backend, y, host.data(), host.size() * sizeof(T));
  }
}

}  // namespace detail

/// A copy with weights of its own (an EMA teacher, a replica); `backend` does the copying.
template <class Layer, class B>
Layer deep_copy(const Layer& layer, const B& backend) {
  Layer copy = layer;
  for_each_weight(copy, [&](const std::string&, auto& weight) {
    using W = std::remove_cvref_t<decltype(weight)>;
    using T = std::remove_cvref_t<decltype(weight.tensor())>;
    T own = T::persistent(weight.shape());
    detail::copy_weight(backend, weight.in(), own.data());
    weight = W(own);
  });
  return copy;
}

}  // namespace phonaut
