#pragma once
// Plans of a library: slow to make, so those used of late are kept; and kept for longer by graphs that repeat what was
// queued with them.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <utility>

#include "capture.cuh"
#include "recent.cuh"

namespace phonaut::cuda {

/// Waits for all streams of the current device.
void wait_for_device();

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
    if (!capture) {
      if (recent_.will_forget(key)) wait_for_device();  // what was queued with plans that go may not have run yet
      return recent_.get(key, make);
    }
    const std::shared_ptr<Plan>* const found = recent_.find(key);
    if (!found) refuse_in_capture(why);
    const bool kept = std::any_of(capture->kept->begin(), capture->kept->end(), [&](const Kept& k) {
      return k.release == release && *static_cast<std::shared_ptr<Plan>*>(k.memory) == *found;
    });
    if (!kept) {
      auto owner = std::make_unique<std::shared_ptr<Plan>>(*found);
      capture->kept->push_back({owner.get(), release});
      owner.release();
    }
    return *found;
  }

 private:
  static void release(void* owner) { delete static_cast<std::shared_ptr<Plan>*>(owner); }

  Recent<Key, std::shared_ptr<Plan>> recent_;
};

}  // namespace phonaut::cuda
