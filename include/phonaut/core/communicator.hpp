#pragma once
// What ranks that train one model together tell each other. parallel/ has those who speak: threads, MPI, NCCL.
#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "phonaut/core/error.hpp"

namespace phonaut {

/// One rank's end of a channel between `size` ranks. All members from `all_reduce` to `duplicate` are collectives:
/// every rank calls the same ones in the same order, with as much data and from one thread at a time. Where ranks
/// disagree, or one of them has failed or ended, the others get RankError from the collective that they wait in or call
/// next, and from every later one.
class Communicator {
 public:
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;
  virtual ~Communicator() = default;

  virtual int rank() const noexcept = 0;
  virtual int size() const noexcept = 0;
  /// Puts into `values` their sums over ranks, added in the order of ranks: the same bits on every rank, whoever
  /// speaks.
  virtual void all_reduce(float* values, long n) = 0;
  virtual void all_reduce(double* values, long n) = 0;
  /// Puts the bytes of rank `root` into those of every rank.
  virtual void broadcast(void* values, std::size_t bytes, int root) = 0;
  /// Puts the bytes of every rank behind each other into `all`, which has room for size() · bytes.
  virtual void all_gather(const void* mine, std::size_t bytes, void* all) = 0;
  /// Returns when every rank has come.
  virtual void barrier() = 0;
  /// A channel of its own between the same ranks, for another thread.
  virtual std::shared_ptr<Communicator> duplicate() = 0;
  /// Tells the others that this rank will not come any more, and why. Does not wait for them.
  virtual void abandon(const std::string& why) noexcept = 0;

  /// Whether sums of values in the memory of a GPU need not go through the host.
  virtual bool reaches_device() const noexcept { return false; }
  /// Begins to reduce `values` on a GPU once the work of `stream` so far is done; `stream` sees the sums after
  /// `join_device`.
  virtual void all_reduce_on_device(float* values, long n, void* stream);
  virtual void join_device(void* stream);
};

inline void Communicator::all_reduce_on_device(float*, long, void*) {
  throw StateError("communicator: this one does not reach the memory of a GPU");
}
inline void Communicator::join_device(void*) {
  throw StateError("communicator: this one does not reach the memory of a GPU");
}

/// The ranks that train together, as this one sees them: a handle, which is alone unless it was given a communicator.
/// Alone, every collective is done at once and changes nothing.
class Ranks {
 public:
  Ranks() = default;
  explicit Ranks(std::shared_ptr<Communicator> communicator) : communicator_(std::move(communicator)) {}

  int rank() const noexcept { return communicator_ ? communicator_->rank() : 0; }
  int size() const noexcept { return communicator_ ? communicator_->size() : 1; }
  bool alone() const noexcept { return size() == 1; }
  /// Whether this is the rank that writes files and reports.
  bool first() const noexcept { return rank() == 0; }

  /// Replaces `n` values by their sums over ranks; see Communicator.
  template <class T>
  void all_reduce(T* values, long n) const {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "ranks add up floats and doubles");
    if (!alone()) communicator_->all_reduce(values, n);
  }
  template <class T>
  T all_reduce(T value) const {
    all_reduce(&value, 1);
    return value;
  }
  /// Replaces `n` values by those of rank `root`. Throws ConfigError for a rank that is not there.
  template <class T>
  void broadcast(T* values, long n, int root = 0) const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (root < 0 || root >= size()) throw ConfigError(concat("ranks: there is no rank ", root, " of ", size()));
    if (!alone()) communicator_->broadcast(values, static_cast<std::size_t>(n) * sizeof(T), root);
  }
  /// What each rank says, in the order of ranks.
  template <class T>
  std::vector<T> all_gather(const T& mine) const {
    static_assert(std::is_trivially_copyable_v<T>);
    std::vector<T> all(static_cast<std::size_t>(size()), mine);
    if (!alone()) communicator_->all_gather(&mine, sizeof(T), all.data());
    return all;
  }
  void barrier() const {
    if (!alone()) communicator_->barrier();
  }
  /// A channel of its own between the same ranks, for another thread.
  Ranks duplicate() const { return alone() ? Ranks() : Ranks(communicator_->duplicate()); }
  void abandon(const std::string& why) const noexcept {
    if (communicator_) communicator_->abandon(why);
  }
  /// Null where alone.
  Communicator* communicator() const noexcept { return communicator_.get(); }

 private:
  std::shared_ptr<Communicator> communicator_;
};

}  // namespace phonaut
