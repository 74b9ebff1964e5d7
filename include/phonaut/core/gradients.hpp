#pragma once
// Gradients of one or more backward passes, kept outside of the parameters that they belong to.
#include <cstdint>
#include <memory>
#include <vector>

#include "phonaut/core/var.hpp"

namespace phonaut {

namespace detail {

/// Maps addresses to small numbers. `clear` is O(1) and keeps the memory, for use once per step.
class AddressMap {
 public:
  static constexpr std::uint32_t absent = 0xffffffffu;

  void clear() {
    count_ = 0;
    if (++epoch_ == 0) {
      for (Cell& cell : cells_) cell.epoch = 0;
      epoch_ = 1;
    }
  }
  std::uint32_t find(const void* key) const {
    if (cells_.empty()) return absent;
    for (size_t i = hash(key);; ++i) {
      const Cell& cell = cells_[i & (cells_.size() - 1)];
      if (cell.epoch != epoch_) return absent;
      if (cell.key == key) return cell.value;
    }
  }
  void insert(const void* key, std::uint32_t value) {
    if (2 * (count_ + 1) > cells_.size()) grow();
    put(key, value);
    ++count_;
  }

 private:
  struct Cell {
    const void* key = nullptr;
    std::uint32_t value = 0, epoch = 0;
  };
  static size_t hash(const void* key) {
    return static_cast<size_t>((reinterpret_cast<std::uintptr_t>(key) >> 6) * 0x9E3779B97F4A7C15ull >> 20);
  }
  void put(const void* key, std::uint32_t value) {
    for (size_t i = hash(key);; ++i) {
      Cell& cell = cells_[i & (cells_.size() - 1)];
      if (cell.epoch == epoch_) continue;
      cell = {key, value, epoch_};
      return;
    }
  }
  void grow() {
    std::vector<Cell> old(cells_.empty() ? 64 : 2 * cells_.size());
    old.swap(cells_);
    for (const Cell& cell : old)
      if (cell.epoch == epoch_) put(cell.key, cell.value);
  }

  std::vector<Cell> cells_;
  size_t count_ = 0;
  std::uint32_t epoch_ = 1;
};

}  // namespace detail

/// Gradients by parameter (or by input variable). Keeps its memory when cleared, so that a training loop which reuses
/// one object allocates nothing.
template <class B>
class Gradients {
 public:
  using Scalar = typename B::Scalar;

  /// d loss / d p, of p's shape. Throws StateError if the loss did not depend on p.
  template <class P>
  auto operator[](const P& p) const {
    const std::uint32_t at = map_.find(p.tensor().data());
    if (at == detail::AddressMap::absent)
      throw StateError(concat("gradients: the value of shape ", text(p.shape()),
                              " has none, because the loss did not depend on it or it was not a variable"));
    return Tensor<B, P::rank>(entries_[at].storage, p.shape());
  }
  template <class P>
  bool has(const P& p) const {
    return map_.find(p.tensor().data()) != detail::AddressMap::absent;
  }
  /// Puts another gradient in the place of that of p, or where there is none. Throws ShapeError if it has another shape
  /// or is a strided slice.
  template <class P>
  void set(const P& p, const Tensor<B, P::rank>& gradient) {
    if (gradient.shape() != p.shape() || !gradient.contiguous())
      throw ShapeError(concat("gradients: a value of shape ", text(p.shape()),
                              " takes a packed gradient of its shape, got ", text(gradient.shape())));
    const void* const key = p.tensor().data();
    std::uint32_t at = map_.find(key);
    if (at == detail::AddressMap::absent) {
      at = static_cast<std::uint32_t>(entries_.size());
      map_.insert(key, at);
      entries_.push_back({key, {}});
    }
    entries_[at].storage = gradient.storage();
  }
  void clear() {
    map_.clear();
    entries_.clear();
  }
  size_t count() const { return entries_.size(); }

 private:
  friend class Context<B>;
  struct Entry {
    const void* key;
    Storage<typename B::Memory> storage;
  };
  detail::AddressMap map_;
  std::vector<Entry> entries_;
};

}  // namespace phonaut
