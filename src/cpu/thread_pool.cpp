// The threads behind every kernel: one pool for the process, so that many contexts on many threads do not multiply it.
//
// A region (one run_blocks) lies in a slot, cut into chunks of blocks. Its caller takes chunks from the front; workers
// that have time take chunks from the back. Whoever takes one says so in the slot's ticket, a single word: what is left
// of the region, and which region it is. A worker that comes late finds nothing left, or another region than the one it
// read about, and has touched nothing. So the caller waits only for chunks that somebody is computing, never for
// somebody who has yet to wake: on a busy machine a region costs what the caller alone would need, not a time slice per
// missing thread. That caller and workers begin at opposite ends keeps most data in the cache of the same core from one
// kernel to the next.
//
// A worker without work watches a counter (the bell) for a while, then sleeps on it.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "cpu/processors.hpp"
#include "kernels/cpu/parallel.hpp"

namespace phonaut::kernel {

namespace {

using Call = void (*)(const void* state, long first, long last);
using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

constexpr unsigned most_workers = 255, most_chunks = 4095;  // what a ticket can hold
constexpr long chunks_per_thread = 32;                      // the last to finish is late by a 32nd at most
constexpr int slot_count = 32;                              // regions at the same time; further ones get no help
// Sleeping and waking costs about 50 us, most of it until the processor has switched.
constexpr microseconds spin_time(50);
// Somebody else had the processor for so long: the machine is busy, and spinning takes time from those who work.
constexpr microseconds interruption(20);

// ---- what the processor and the operating system offer ----

void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Rounding and the treatment of denormal numbers (hosts of audio plug-ins flush them to zero): workers take over the
/// caller's, so that results do not depend on who computes.
using FloatMode = std::uint64_t;
FloatMode float_mode() noexcept {
#if defined(__x86_64__)
  return __builtin_ia32_stmxcsr() & ~0x3fu;  // without the flags of past exceptions
#elif defined(__aarch64__)
  FloatMode mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
#else
  return 0;
#endif
}
void set_float_mode(FloatMode mode) noexcept {
  if (mode == float_mode()) return;
#if defined(__x86_64__)
  __builtin_ia32_ldmxcsr(static_cast<unsigned>(mode));
#elif defined(__aarch64__)
  asm volatile("msr fpcr, %0" : : "r"(mode));
#endif
}

using Word = std::atomic<std::uint32_t>;
static_assert(sizeof(Word) == 4 && Word::is_always_lock_free);

/// Sleeps until somebody wakes `word`, unless it differs from `seen`. May return early.
void sleep_on(Word& word, std::uint32_t seen) noexcept {
#if defined(__linux__)
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
#else
  word.wait(seen);
#endif
}
void wake(Word& word, std::uint32_t sleepers) noexcept {
#if defined(__linux__)
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, sleepers, nullptr, nullptr, 0);
#else
  for (; sleepers > 0; --sleepers) word.notify_one();
#endif
}

/// Spins, gently: more pauses between looks at first, then the processor is offered to others. Gives up after
/// `spin_time`, or once somebody else has had the processor.
class Spin {
 public:
  explicit Spin(bool allowed) noexcept : allowed_(allowed) {}
  /// False: give up.
  bool once() noexcept {
    if (!allowed_) return false;
    if (pauses_ < most_pauses) {
      for (int i = 0; i < pauses_; ++i) pause();
      pauses_ *= 2;
    } else {
      sched_yield();
    }
    const auto now = Clock::now();
    const bool interrupted = now - last_ > interruption;
    last_ = now;
    return !interrupted && now - begin_ < spin_time;
  }

 private:
  static constexpr int most_pauses = 64;
  Clock::time_point begin_ = Clock::now(), last_ = begin_;
  int pauses_ = 1;
  bool allowed_;
};

// ---- regions ----

/// What is left of a region: chunks [begin, end), and seats for workers who may still join it.
struct Ticket {
  std::uint32_t region, seats, begin, end;
  static Ticket of(std::uint64_t word) noexcept {
    return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint32_t>(word >> 24 & 0xff),
            static_cast<std::uint32_t>(word >> 12 & 0xfff), static_cast<std::uint32_t>(word & 0xfff)};
  }
  std::uint64_t word() const noexcept {
    return static_cast<std::uint64_t>(region) << 32 | seats << 24 | begin << 12 | end;
  }
};

struct alignas(64) Slot {
  std::atomic<std::uint64_t> ticket{0};
  // Written before the ticket; who then takes a chunk under that ticket has read the right ones.
  std::atomic<Call> call{nullptr};
  std::atomic<const void*> state{nullptr};
  std::atomic<long> blocks{0};
  std::atomic<std::uint32_t> chunks{0};
  std::atomic<FloatMode> mode{0};
  std::atomic<bool> taken{false};

  /// Chunks that workers have finished, and whether the caller sleeps until all are.
  static constexpr std::uint32_t caller_sleeps = 1u << 31;
  alignas(64) Word done{0};

  /// Computes chunk i; the region must not have ended.
  void run(std::uint32_t i) const noexcept {
    const long n = blocks.load(std::memory_order_relaxed), of = chunks.load(std::memory_order_relaxed);
    call.load(std::memory_order_relaxed)(state.load(std::memory_order_relaxed), n * i / of, n * (i + 1) / of);
  }
};

// Sleeping workers count in the upper half of Pool::idle, spinning ones in the lower.
constexpr std::uint32_t one_spins = 1, one_sleeps = 1u << 16;

/// Constant-initialised and never destroyed: threads may still compute while the process ends.
struct Pool {
  Slot slot[slot_count];
  std::atomic<int> slots_used{0};  ///< no slot from here on was ever used

  alignas(64) Word bell{0};  ///< rings for every region
  Word idle{0};

  alignas(64) std::atomic<unsigned> workers{0}, limit{most_workers};
  std::atomic<bool> may_spin{false};  ///< a processor for each worker and a caller
  std::atomic<bool> growing{false}, closed{false};
  struct Worker {
    pthread_t handle;
    int number;
  } worker[most_workers];
};
constinit Pool pool{};

/// Set on workers, and on callers while they run a region.
thread_local bool inside = false;

// ---- workers ----

/// Takes part in the region of a slot, if it has a chunk and a seat left.
bool help(Slot& slot) noexcept {
  auto word = slot.ticket.load(std::memory_order_acquire);
  Ticket ticket;
  FloatMode mode;
  // Who meets others at the ticket tries again: the caller counts on everybody who is awake, and wakes nobody instead.
  do {
    ticket = Ticket::of(word);
    if (ticket.begin == ticket.end || ticket.seats == 0) return false;
    mode = slot.mode.load(std::memory_order_relaxed);
    --ticket.seats;
    --ticket.end;
    // Release: the loads above stay above. Had the caller meanwhile begun another region, this would fail.
  } while (!slot.ticket.compare_exchange_weak(word, ticket.word(), std::memory_order_acq_rel));
  pool.idle.fetch_sub(one_spins, std::memory_order_relaxed);
  set_float_mode(mode);
  std::uint32_t finished = 0;
  for (;;) {
    slot.run(ticket.end);
    ++finished;
    word = slot.ticket.load(std::memory_order_acquire);
    do {
      ticket = Ticket::of(word);
      if (ticket.begin == ticket.end) break;
      --ticket.end;
    } while (!slot.ticket.compare_exchange_weak(word, ticket.word(), std::memory_order_acq_rel));
    if (Ticket::of(word).begin == Ticket::of(word).end) break;
  }
  pool.idle.fetch_add(one_spins, std::memory_order_relaxed);
  // The last touch of this region; the caller may return, and the slot serve another, from here on.
  if (slot.done.fetch_add(finished, std::memory_order_acq_rel) & Slot::caller_sleeps) wake(slot.done, 1);
  return true;
}

void* work(void* number) {
  inside = true;
  const int self = *static_cast<const int*>(number);
  pool.idle.fetch_add(one_spins, std::memory_order_relaxed);
  std::uint32_t heard;
  const auto look_around = [&] {
    heard = pool.bell.load(std::memory_order_acquire);  // first: what begins from now on rings again
    const int used = pool.slots_used.load(std::memory_order_relaxed);
    bool helped = false;
    for (int i = 0; i < used && !helped; ++i) helped = help(pool.slot[(self + i) % used]);
    return helped;
  };
  for (;;) {
    Spin spin(pool.may_spin.load(std::memory_order_relaxed));
    bool again = look_around();
    while (!again && spin.once()) again = pool.bell.load(std::memory_order_relaxed) != heard && look_around();
    // After the bell: whoever closes rings it, so that either we see it here or do not fall asleep below.
    if (pool.closed.load(std::memory_order_acquire)) return nullptr;
    if (again) continue;
    // In this order: a caller who rings before it sees us asleep has changed the bell, and we do not sleep.
    pool.idle.fetch_add(one_sleeps - one_spins, std::memory_order_seq_cst);
    sleep_on(pool.bell, heard);
    pool.idle.fetch_add(one_spins - one_sleeps, std::memory_order_seq_cst);
  }
}

/// Starts workers until there are `wanted`. What cannot be started is not tried again.
void grow(unsigned wanted) noexcept {
  if (pool.growing.exchange(true, std::memory_order_acquire)) return;
  // The host's signals are for the host's threads. Faults hit the thread that causes them, profilers want all.
  sigset_t ours, theirs;
  sigfillset(&ours);
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGPROF}) sigdelset(&ours, signal);
  pthread_sigmask(SIG_SETMASK, &ours, &theirs);
  unsigned n = pool.workers.load(std::memory_order_relaxed);
  for (; n < wanted && !pool.closed.load(std::memory_order_relaxed); ++n) {
    pool.worker[n].number = static_cast<int>(n);
    if (pthread_create(&pool.worker[n].handle, nullptr, work, &pool.worker[n].number) != 0) {
      pool.limit.store(n, std::memory_order_relaxed);
      break;
    }
#if defined(__linux__)
    pthread_setname_np(pool.worker[n].handle, "phonaut");
#endif
  }
  pthread_sigmask(SIG_SETMASK, &theirs, nullptr);
  pool.workers.store(n, std::memory_order_relaxed);
  pool.may_spin.store(n < static_cast<unsigned>(processors()), std::memory_order_relaxed);
  pool.growing.store(false, std::memory_order_release);
}

/// A child process has none of its parent's workers, and none of its other callers.
void after_fork() noexcept {
  for (Slot& slot : pool.slot) {
    Ticket ticket = Ticket::of(slot.ticket.load(std::memory_order_relaxed));
    ticket.begin = ticket.end = 0;
    slot.ticket.store(ticket.word(), std::memory_order_relaxed);
    slot.taken.store(false, std::memory_order_relaxed);
  }
  pool.idle.store(0, std::memory_order_relaxed);
  pool.workers.store(0, std::memory_order_relaxed);
  pool.limit.store(most_workers, std::memory_order_relaxed);
  pool.growing.store(false, std::memory_order_relaxed);
}

/// Sends the workers home when the process ends or the library is unloaded. Callers on other threads go on alone.
struct Keeper {
  Keeper() noexcept { pthread_atfork(nullptr, nullptr, after_fork); }
  ~Keeper() {
    if (inside) return;  // a kernel's thread ends the process: it cannot wait for itself
    pool.closed.store(true, std::memory_order_seq_cst);
    while (pool.growing.exchange(true, std::memory_order_acquire)) sched_yield();  // from now on nobody starts any
    pool.bell.fetch_add(1, std::memory_order_seq_cst);
    wake(pool.bell, most_workers);
    const unsigned n = pool.workers.load(std::memory_order_relaxed);
    for (unsigned i = 0; i < n; ++i) pthread_join(pool.worker[i].handle, nullptr);
  }
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;
};
const Keeper keeper;

// ---- callers ----

/// A free slot for a region with `helpers`, and enough workers for all regions in progress to have theirs: but on a
/// machine with fewer processors not more than one region asked for.
Slot* take_slot(unsigned helpers) noexcept {
  int i = 0;
  while (pool.slot[i].taken.load(std::memory_order_relaxed) ||
         pool.slot[i].taken.exchange(true, std::memory_order_acquire))
    if (++i == slot_count) return nullptr;
  int used = pool.slots_used.load(std::memory_order_relaxed);
  while (used <= i && !pool.slots_used.compare_exchange_weak(used, i + 1, std::memory_order_relaxed)) {
  }
  const unsigned workers = pool.workers.load(std::memory_order_relaxed);
  const unsigned all = helpers * static_cast<unsigned>(i + 1);
  if (workers < all && workers < pool.limit.load(std::memory_order_relaxed)) {
    const unsigned most = std::max(helpers, static_cast<unsigned>(processors()) - 1);
    if (workers < most) grow(std::min({all, most, pool.limit.load(std::memory_order_relaxed)}));
  }
  return &pool.slot[i];
}

void wait_for(Slot& slot, std::uint32_t chunks) noexcept {
  std::uint32_t done = slot.done.load(std::memory_order_acquire);
  if (done == chunks) return;
  Spin spin(pool.may_spin.load(std::memory_order_relaxed));
  while (done != chunks && spin.once()) done = slot.done.load(std::memory_order_acquire);
  while ((done & ~Slot::caller_sleeps) != chunks) {
    if (done & Slot::caller_sleeps) sleep_on(slot.done, done);
    else slot.done.compare_exchange_strong(done, done | Slot::caller_sleeps, std::memory_order_acq_rel);
    done = slot.done.load(std::memory_order_acquire);
  }
}

}  // namespace

void run_blocks(long threads, long blocks, Call call, const void* state) noexcept {
  if (blocks <= 0) return;
  threads = std::min({threads, blocks, static_cast<long>(most_workers) + 1});
  const auto helpers = static_cast<unsigned>(threads - 1);
  Slot* const taken = threads > 1 && !inside ? take_slot(helpers) : nullptr;
  if (!taken) {
    call(state, 0, blocks);
    return;
  }
  inside = true;
  Slot& slot = *taken;
  const auto chunks =
      static_cast<std::uint32_t>(std::min({blocks, threads * chunks_per_thread, static_cast<long>(most_chunks)}));
  slot.call.store(call, std::memory_order_relaxed);
  slot.state.store(state, std::memory_order_relaxed);
  slot.blocks.store(blocks, std::memory_order_relaxed);
  slot.chunks.store(chunks, std::memory_order_relaxed);
  slot.mode.store(float_mode(), std::memory_order_relaxed);
  slot.done.store(0, std::memory_order_relaxed);
  const std::uint32_t region = Ticket::of(slot.ticket.load(std::memory_order_relaxed)).region + 1;
  std::uint64_t word = Ticket{region, helpers, 0, chunks}.word();
  slot.ticket.store(word, std::memory_order_release);

  pool.bell.fetch_add(1, std::memory_order_seq_cst);
  const std::uint32_t idle = pool.idle.load(std::memory_order_seq_cst);
  const std::uint32_t spinning = idle % one_sleeps, sleeping = idle / one_sleeps;
  if (spinning < helpers && sleeping > 0) wake(pool.bell, std::min(helpers - spinning, sleeping));

  std::uint32_t mine = 0;
  for (;;) {
    Ticket ticket = Ticket::of(word);
    if (ticket.begin == ticket.end) break;
    const std::uint32_t chunk = ticket.begin++;
    if (!slot.ticket.compare_exchange_weak(word, ticket.word(), std::memory_order_acq_rel)) continue;
    slot.run(chunk);
    ++mine;
    word = slot.ticket.load(std::memory_order_acquire);
  }
  wait_for(slot, chunks - mine);
  slot.taken.store(false, std::memory_order_release);
  inside = false;
}

}  // namespace phonaut::kernel
