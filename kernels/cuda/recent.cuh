#pragma once
// What was worked out for a key, kept for those used of late.
#include <cstddef>
#include <map>
#include <utility>

namespace phonaut::cuda {

/// Holds at most 2 `room` values, and always the `room` that were asked for last: when so many are new, those that were
/// not asked for meanwhile go. Keys are ordered by <.
template <class Key, class Value>
class Recent {
 public:
  explicit Recent(std::size_t room) : room_(room) {}

  /// The value of `key`, from make() where there is none. Valid until the next call.
  template <class Make>
  Value& get(const Key& key, const Make& make) {
    if (const auto found = young_.find(key); found != young_.end()) return found->second;
    if (young_.size() >= room_) {
      old_ = std::move(young_);
      young_.clear();
    }
    if (auto node = old_.extract(key)) return young_.insert(std::move(node)).position->second;
    return young_.emplace(key, make()).first->second;
  }
  /// The value of `key` where there is one; else null. Nothing goes. Valid until the next call of `get`.
  Value* find(const Key& key) {
    for (std::map<Key, Value>* held : {&young_, &old_})
      if (const auto found = held->find(key); found != held->end()) return &found->second;
    return nullptr;
  }
  /// Whether `get` of that key would let values go.
  bool will_forget(const Key& key) const { return young_.size() >= room_ && !young_.contains(key) && !old_.empty(); }
  std::size_t size() const { return young_.size() + old_.size(); }

 private:
  std::size_t room_;
  std::map<Key, Value> young_, old_;
};

}  // namespace phonaut::cuda
