#pragma once
// Plans of a library: slow to make, so those used of late are kept; and kept for longer by graphs that repeat what was
// queued with them.
#include <cstddef>
#include <memory>
#include <utility>

#include "capture.cuh"
#include "recent.cuh"

namespace phonaut::cuda {

template <class Key, class Plan>
class Plans {
 public:
  /// Remembers the `room` plans that were asked for last, and up to as many more.
  explicit Plans(std::size_t room) : recent_(room) {}

  /// The plan of `key`, by make() where there is none. The graph that the calling thread captures keeps it. No plan is
  /// made or forgotten meanwhile, for either may ask CUDA for what would spoil the capture: StateError, with `why` as
  /// the reason, where it is missing.
  template <class Make>
  std::shared_ptr<Plan> get(const Key& key, const char* why, const Make& make) {
    Capture* const capture = current_capture();
    if (!capture) return recent_.get(key, make);
    const std::shared_ptr<Plan>* const found = recent_.find(key);
    if (!found) refuse_in_capture(why);
    auto owner = std::make_unique<std::shared_ptr<Plan>>(*found);
    capture->kept->push_back({owner.get(), [](void* p) { delete static_cast<std::shared_ptr<Plan>*>(p); }});
    return *owner.release();
  }

 private:
  Recent<Key, std::shared_ptr<Plan>> recent_;
};

}  // namespace phonaut::cuda
