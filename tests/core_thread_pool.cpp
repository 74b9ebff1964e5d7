// The threads behind the kernels: every block is computed once, whoever has time for it, and nobody waits for a thread
// that is late.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <set>
#include <thread>
#include <vector>

#include "../kernels/cpu/parallel.hpp"
#include "catch.hpp"

using namespace phonaut;

namespace {

/// kernel::run_blocks with a function of one block, as the kernels have it.
template <class F>
void for_blocks(long threads, long blocks, const F& run) {
  kernel::run_blocks(
      threads, blocks,
      [](const void* state, long first, long last) {
        for (long block = first; block < last; ++block) (*static_cast<const F*>(state))(block);
      },
      &run);
}

/// Whether each of `blocks` blocks is computed exactly once.
bool each_once(long threads, long blocks) {
  std::vector<std::atomic<int>> times(static_cast<size_t>(blocks));
  for_blocks(threads, blocks, [&](long block) { times[static_cast<size_t>(block)].fetch_add(1); });
  for (const auto& n : times)
    if (n != 1) return false;
  return true;
}

/// Calls `run(block)` in a region in which all of `threads` threads take part: each holds a block until all have one.
template <class F>
void all_together(int threads, const F& run) {
  std::atomic<int> here{0};
  for_blocks(threads, threads, [&](long block) {
    here.fetch_add(1);
    while (here < threads) std::this_thread::yield();
    run(block);
  });
}

/// Waits for a child process that should end within a minute. True if it ended with status 0.
bool ends_well(pid_t child) {
  for (int waited = 0; waited < 6000; ++waited) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) && WEXITSTATUS(status) == 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return false;
}

/// Runs `check` in a child process, where no worker has been started yet.
template <class F>
bool in_child(const F& check) {
  const pid_t child = fork();
  if (child == 0) _exit(check() ? 0 : 1);
  return child > 0 && ends_well(child);
}

}  // namespace

TEST_CASE("every block is computed once, whatever the number of threads", "[core][threads]") {
  for (long threads : {1, 2, 3, 8, 2})
    for (long blocks : {0, 1, 2, 3, 7, 31, 64, 65, 127, 1000, 4095, 4096, 100003}) {
      CAPTURE(threads, blocks);
      CHECK(each_once(threads, blocks));
    }
}

TEST_CASE("sums of blocks are equal bit for bit on one thread and on many", "[core][threads]") {
  const auto sum = [](long threads) {
    std::vector<float> part(257);
    for_blocks(threads, 257, [&](long block) {
      float total = 0;
      for (long i = 0; i < 1000; ++i) total += 1.0f / static_cast<float>(block * 1000 + i + 1);
      part[static_cast<size_t>(block)] = total;
    });
    float total = 0;
    for (float p : part) total += p;
    return total;
  };
  const float one = sum(1);
  for (int round = 0; round < 50; ++round)
    for (long threads : {2, 3, 8}) CHECK(sum(threads) == one);
}

TEST_CASE("sleeping threads are woken", "[core][threads]") {
  for (int threads : {2, 5, 8, 3}) {
    CAPTURE(threads);
    for (int round = 0; round < 10; ++round) {
      // Long enough for all to fall asleep, and at once.
      std::this_thread::sleep_for(std::chrono::milliseconds(round % 2 == 0 ? 0 : 3));
      std::vector<std::thread::id> who(static_cast<size_t>(threads));
      all_together(threads, [&](long block) { who[static_cast<size_t>(block)] = std::this_thread::get_id(); });
      CHECK(std::set(who.begin(), who.end()).size() == static_cast<size_t>(threads));
    }
  }
}

TEST_CASE("no more threads take part than were asked for", "[core][threads]") {
  // Somebody else keeps many awake, and looking for work.
  std::atomic<bool> stop{false};
  std::thread other([&] {
    while (!stop) all_together(8, [](long) {});
  });
  for (int threads : {2, 3, 5})
    for (int round = 0; round < 20; ++round) {
      std::vector<std::thread::id> who(40);
      for_blocks(threads, 40, [&](long block) {
        std::this_thread::sleep_for(std::chrono::microseconds(50));  // time for all to come
        who[static_cast<size_t>(block)] = std::this_thread::get_id();
      });
      CAPTURE(threads);
      CHECK(std::set(who.begin(), who.end()).size() <= static_cast<size_t>(threads));
    }
  stop = true;
  other.join();
}

TEST_CASE("nobody waits for threads that have not come", "[core][threads]") {
  // A region that holds every worker there is; another caller must manage alone.
  const int all = std::max(8, static_cast<int>(std::thread::hardware_concurrency())) + 1;
  std::atomic<int> held{0};
  std::atomic<bool> go{false};
  std::thread holder([&] {
    for_blocks(all, all, [&](long) {
      held.fetch_add(1);
      while (!go) std::this_thread::yield();
    });
  });
  while (held < all) std::this_thread::yield();
  for (int round = 0; round < 100; ++round) CHECK(each_once(2, 100));
  CHECK(held == all);
  go = true;
  holder.join();
}

TEST_CASE("many callers have regions at the same time", "[core][threads]") {
  for (int callers : {3, 40}) {  // 40: more than the pool keeps apart
    std::vector<std::thread> threads;
    std::atomic<int> right{0};
    const int rounds = 2000 / callers;
    for (int c = 0; c < callers; ++c)
      threads.emplace_back([&, c] {
        for (int round = 0; round < rounds; ++round) {
          // Different work for each: a worker that mixed up two regions would leave holes.
          const long blocks = 1 + (c * 31 + round * 7) % 90;
          std::vector<long> out(static_cast<size_t>(blocks), -1);
          for_blocks(2 + c % 3, blocks, [&](long block) { out[static_cast<size_t>(block)] = c * 1000 + block; });
          bool good = true;
          for (long b = 0; b < blocks; ++b) good = good && out[static_cast<size_t>(b)] == c * 1000 + b;
          right += good;
        }
      });
    for (auto& thread : threads) thread.join();
    CHECK(right == callers * rounds);
  }
}

TEST_CASE("a region within a block stays on its thread", "[core][threads]") {
  std::atomic<int> strayed{0}, inner{0};
  for (int round = 0; round < 20; ++round)
    all_together(3, [&](long) {
      const auto self = std::this_thread::get_id();
      for_blocks(3, 10, [&](long) {
        inner.fetch_add(1);
        if (std::this_thread::get_id() != self) strayed.fetch_add(1);
      });
    });
  CHECK(inner == 20 * 3 * 10);
  CHECK(strayed == 0);
  CHECK(each_once(2, 100));  // and afterwards work is shared again
}

#if defined(__x86_64__)
TEST_CASE("workers treat tiny numbers as their caller does", "[core][threads]") {
  const unsigned before = __builtin_ia32_stmxcsr();
  volatile float tiny = 1e-38f;
  for (bool flush : {false, true, false}) {
    CAPTURE(flush);
    float half[4] = {1, 1, 1, 1};
    __builtin_ia32_ldmxcsr(flush ? before | 0x8000u : before);
    all_together(4, [&](long block) { half[block] = tiny * 0.5f; });
    __builtin_ia32_ldmxcsr(before);
    for (float h : half) CHECK((h == 0) == flush);
  }
}
#endif

#if defined(__linux__)
TEST_CASE("threads are started only when asked for", "[core][threads]") {
  const auto threads_here = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
  };
  // In a child, which begins with a single thread. Sanitizers may keep one of their own.
  CHECK(in_child([&] {
    const auto at_first = threads_here();
    for_blocks(1, 1000, [](long) {});
    for_blocks(4, 1, [](long) {});
    if (threads_here() != at_first) return false;
    for_blocks(3, 10, [](long) {});
    for_blocks(2, 10, [](long) {});
    return threads_here() == at_first + 2;
  }));
}
#endif

TEST_CASE("a child process computes like its parent", "[core][threads]") {
  all_together(3, [](long) {});
  CHECK(in_child([] {
    all_together(3, [](long) {});
    return each_once(3, 1000);
  }));
  // While other threads are in the middle of something.
  std::atomic<bool> stop{false};
  std::vector<std::thread> others;
  for (int i = 0; i < 2; ++i)
    others.emplace_back([&] {
      while (!stop) each_once(2, 50);
    });
  for (int round = 0; round < 20; ++round) CHECK(in_child([] { return each_once(2, 100) && each_once(3, 100); }));
  stop = true;
  for (auto& other : others) other.join();
  CHECK(each_once(3, 1000));
}

TEST_CASE("ends the process while threads compute", "[.][exit]") {
  for (int i = 0; i < 3; ++i)
    std::thread([] {
      for (;;) each_once(3, 50);
    }).detach();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::exit(0);
}

TEST_CASE("a process may end while its threads compute", "[core][threads]") {
  for (int round = 0; round < 5; ++round) {
    const pid_t child = fork();
    if (child == 0) {
      execl("/proc/self/exe", "test_core_thread_pool", "[exit]", nullptr);
      _exit(2);
    }
    CHECK(ends_well(child));
  }
}

TEST_CASE("more threads than the pool can have", "[core][threads]") {
  CHECK(in_child([] { return each_once(1000, 5000) && each_once(1000, 1000); }));
}
