#include "phonaut/parallel/threads.hpp"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>

#include "parallel/call.hpp"

namespace phonaut {
namespace {

/// What the threads share.
struct Group {
  explicit Group(int count) : size(count) {}
  const int size;
  std::mutex mutex;
  std::condition_variable changed;
  std::string failure;                    // why nobody may wait any more; empty while all is well
  std::exception_ptr cause, consequence;  // the first exception that is no RankError, and the first that is one
};

/// What a rank brings to a collective.
struct Post {
  Call call;
  void* values = nullptr;
  const void* mine = nullptr;
};

/// A place where all ranks meet, again and again.
struct Channel {
  explicit Channel(int size) : posts{std::vector<Post>(size_t(size)), std::vector<Post>(size_t(size))} {}
  // By turns, so that a rank that is ahead does not overwrite what others still read.
  std::array<std::vector<Post>, 2> posts;
  int arrived = 0;
  long round = 0;
  std::shared_ptr<Channel> next;  // made by the last to arrive, in `duplicate`
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<Group> group, std::shared_ptr<Channel> channel, int rank)
      : group_(std::move(group)), channel_(std::move(channel)), rank_(rank) {}

  int rank() const noexcept override { return rank_; }
  int size() const noexcept override { return group_->size; }
  void all_reduce(float* values, long n) override { add_up(values, n); }
  void all_reduce(double* values, long n) override { add_up(values, n); }

  void broadcast(void* values, std::size_t bytes, int root) override {
    const auto& posts = meet({{Call::Kind::broadcast, static_cast<long>(bytes), root, {}}, values, values});
    if (rank_ != root && bytes > 0) std::memcpy(values, posts[static_cast<size_t>(root)].mine, bytes);
    finish();
  }
  void all_gather(const void* mine, std::size_t bytes, void* all) override {
    const auto& posts = meet({{Call::Kind::all_gather, static_cast<long>(bytes), 0, {}}, all, mine});
    for (size_t r = 0; bytes > 0 && r < posts.size(); ++r)
      std::memcpy(static_cast<char*>(all) + r * bytes, posts[r].mine, bytes);
    finish();
  }
  void barrier() override { meet({{Call::Kind::barrier, 0, 0, {}}, nullptr, nullptr}); }

  std::shared_ptr<Communicator> duplicate() override {
    meet({{Call::Kind::duplicate, 0, 0, {}}, nullptr, nullptr});
    {
      const std::lock_guard lock(group_->mutex);
      if (!channel_->next) channel_->next = std::make_shared<Channel>(group_->size);
    }
    auto copy = std::make_shared<ThreadCommunicator>(group_, channel_->next, rank_);
    finish();
    {
      const std::lock_guard lock(group_->mutex);
      channel_->next.reset();
    }
    finish();  // nobody asks for another one before all have let go of this one
    return copy;
  }
  void abandon(const std::string& why) noexcept override { leave("has failed: " + why); }
  void leave(const std::string& how) noexcept {
    const std::lock_guard lock(group_->mutex);
    if (group_->failure.empty()) group_->failure = concat("rank ", rank_, ' ', how);
    group_->changed.notify_all();
  }

 private:
  /// Waits for all ranks, and returns what each of them brought. `surely`: all will come, whatever fails elsewhere.
  const std::vector<Post>& meet(const Post& mine, bool surely = false) {
    std::unique_lock lock(group_->mutex);
    Channel& channel = *channel_;
    const auto check = [&] {
      if (!surely && !group_->failure.empty()) throw RankError("ranks: " + group_->failure);
    };
    check();
    auto& posts = channel.posts[static_cast<size_t>(channel.round % 2)];
    posts[static_cast<size_t>(rank_)] = mine;
    if (++channel.arrived == group_->size) {
      std::vector<Call> calls;
      calls.reserve(posts.size());
      for (const Post& p : posts) calls.push_back(p.call);
      std::string problem = disagreement(calls);
      if (problem.empty()) {
        channel.arrived = 0;
        ++channel.round;
      } else {
        group_->failure = std::move(problem);
      }
      group_->changed.notify_all();
      check();
    } else {
      const long round = channel.round;
      group_->changed.wait(lock, [&] { return channel.round != round || (!surely && !group_->failure.empty()); });
      if (channel.round == round) check();
    }
    return posts;
  }
  /// The others still read what this rank brought, so it stays until all are done.
  void finish() { meet({{Call::Kind::barrier, 0, 0, {}}, nullptr, nullptr}, true); }

  template <class T>
  void add_up(T* values, long n) {
    const auto& posts =
        meet({{sizeof(T) == 4 ? Call::Kind::sum_floats : Call::Kind::sum_doubles, n, 0, {}}, values, values});
    // Each rank adds up one part, and tells all.
    const Part part = part_of(n, rank_, group_->size);
    std::array<T, 512> block;
    for (long first = part.first; first < part.first + part.count; first += static_cast<long>(block.size())) {
      const long count = std::min(static_cast<long>(block.size()), part.first + part.count - first);
      std::copy_n(static_cast<const T*>(posts[0].mine) + first, count, block.begin());
      for (size_t r = 1; r < posts.size(); ++r) {
        const T* const more = static_cast<const T*>(posts[r].mine) + first;
        for (long i = 0; i < count; ++i) block[static_cast<size_t>(i)] += more[i];
      }
      for (const Post& p : posts) std::copy_n(block.begin(), count, static_cast<T*>(p.values) + first);
    }
    finish();
  }

  std::shared_ptr<Group> group_;
  std::shared_ptr<Channel> channel_;
  int rank_;
};

}  // namespace

void run_on_threads(int count, const std::function<void(Ranks)>& work) {
  if (count < 1) throw ConfigError(concat("ranks: there must be at least one, got ", count));
  const auto group = std::make_shared<Group>(count);
  const auto channel = std::make_shared<Channel>(count);
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(count));
  for (int r = 0; r < count; ++r)
    threads.emplace_back([&, r] {
      const auto communicator = std::make_shared<ThreadCommunicator>(group, channel, r);
      try {
        work(Ranks(communicator));
        communicator->leave("has ended while others wait for it");
      } catch (const RankError& error) {
        communicator->abandon(error.what());
        const std::lock_guard lock(group->mutex);
        if (!group->consequence) group->consequence = std::current_exception();
      } catch (...) {
        communicator->abandon(reason_of(std::current_exception()));
        const std::lock_guard lock(group->mutex);
        if (!group->cause) group->cause = std::current_exception();
      }
    });
  for (std::thread& t : threads) t.join();
  if (group->cause) std::rethrow_exception(group->cause);
  if (group->consequence) std::rethrow_exception(group->consequence);
}

}  // namespace phonaut
