#include "emulator.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device_memory.hpp"
#include "fibre.hpp"
#include "phonaut/core/error.hpp"

namespace phonaut::emulator {

thread_local Place here;

namespace {

struct Worker;

/// A thread of the block that has begun and waits.
struct Waiting {
  Worker* worker = nullptr;  ///< null where the thread has not begun, or has ended
  const char* at = nullptr;  ///< "a barrier", "an exchange"; null where it may go on
  Site site{};
};

/// 32 threads that exchange values. Lanes of one exchange write into one of two rows: before a lane can come back to
/// the same row, all of them must have arrived at the exchange in between, so all have read.
struct Warp {
  struct alignas(16) Value {
    char bytes[16];
  };
  std::array<std::array<Value, warp_size>, 2> row;
  unsigned arrived = 0, phase = 0;
  Site site{};
};

struct Block {
  Place place;  ///< thread 0's
  std::vector<Waiting> threads;
  std::vector<Warp> warps;
  unsigned begun = 0, ended = 0, at_barrier = 0;
  Site barrier{};
  void (*call)(void*) = nullptr;
  void* body = nullptr;
  unsigned current = 0;  ///< the thread that runs
  std::string fault;

  /// Threads in the order of their turns.
  unsigned turn(unsigned i) const;
  void place_thread(unsigned t) {
    current = t;
    here = place;
    const Dim& size = place.block_size;
    here.thread = Dim(t % size.x, t / size.x % size.y, t / size.x / size.y);
  }
};

/// A fibre that runs threads of the block, one after the other, until one has to wait.
struct Worker {
  Fibre fibre;
  Worker() { fibre.prepare(&Worker::work, this); }
  static void work(void* self);
};

/// Everything of the grid that this thread of the host runs.
struct Machine {
  std::vector<std::unique_ptr<Worker>> all;
  std::vector<Worker*> idle;
  Block block;
  std::vector<float4> dynamic_shared;
  std::size_t shared_bytes = 0;
  long blocks = 0, launches = 0;
  Order order = Order::ascending;
  Worker* running = nullptr;
  bool in_kernel = false;

  Worker* take() {
    if (idle.empty()) {
      all.push_back(std::make_unique<Worker>());
      idle.push_back(all.back().get());
    }
    Worker* worker = idle.back();
    idle.pop_back();
    return worker;
  }
  void enter(Worker* worker) {
    running = worker;
    worker->fibre.enter();
    running = nullptr;
  }
};

Machine& machine() {
  thread_local Machine m;
  return m;
}

unsigned Block::turn(unsigned i) const {
  const auto n = static_cast<unsigned>(threads.size());
  return machine().order == Order::ascending ? i : n - 1 - i;
}

void Worker::work(void* self) {
  auto* worker = static_cast<Worker*>(self);
  for (;;) {
    // Read anew each time: after `leave` another block may be running.
    Machine& m = machine();
    Block& block = m.block;
    if (block.begun < block.threads.size() && block.fault.empty()) {
      const unsigned t = block.turn(block.begun++);
      block.place_thread(t);
      block.threads[t].worker = worker;
      block.call(block.body);
      block.threads[t].worker = nullptr;
      ++block.ended;
      continue;
    }
    m.idle.push_back(worker);
    worker->fibre.leave();
  }
}

std::string text(Site site) {
  const char* name = site.file;
  for (const char* c = site.file; *c; ++c)
    if (*c == '/') name = c + 1;
  return concat(name, ":", site.line);
}

std::string text(const Dim& d) { return concat("(", d.x, ", ", d.y, ", ", d.z, ")"); }

/// Puts the running thread to sleep. It goes on when somebody has cleared `at`.
void wait(const char* at, Site site) {
  Machine& m = machine();
  const unsigned t = m.block.current;
  m.block.threads[t].at = at;
  m.block.threads[t].site = site;
  m.running->fibre.leave();
  machine().block.place_thread(t);
}

/// Ends the grid: the threads of this block stay where they are.
void fail(std::string fault) {
  Machine& m = machine();
  if (m.block.fault.empty()) m.block.fault = std::move(fault);
  m.running->fibre.leave();
}

/// What a block does whose threads all wait.
std::string standstill(const Block& block) {
  for (unsigned t = 0; t < block.threads.size(); ++t) {
    const Waiting& w = block.threads[t];
    if (!w.at) continue;
    unsigned same = 0;
    for (const Waiting& other : block.threads) same += other.at == w.at && other.site.line == w.site.line;
    return concat("thread ", t, " and ", same - 1, " others wait at ", w.at, " in ", text(w.site), ", which ",
                  block.threads.size() - same, " of the ", block.threads.size(), " threads never reach (", block.ended,
                  " have ended)");
  }
  return "no thread can go on";
}

void run_block(Machine& m) {
  Block& block = m.block;
  const auto n = static_cast<unsigned>(block.threads.size());
  block.begun = block.ended = block.at_barrier = 0;
  for (Warp& warp : block.warps) warp.arrived = warp.phase = 0;
  for (Waiting& thread : block.threads) thread = {};
  ++m.blocks;
  m.shared_bytes = m.dynamic_shared.size() * sizeof(float4);
  if (!m.dynamic_shared.empty()) std::memset(static_cast<void*>(m.dynamic_shared.data()), 0xff, m.shared_bytes);
  while (block.fault.empty() && block.ended < n) {
    bool progress = false;
    while (block.begun < n && block.fault.empty()) {
      m.enter(m.take());
      progress = true;
    }
    for (unsigned i = 0; i < n && block.fault.empty(); ++i) {
      const Waiting& thread = block.threads[block.turn(i)];
      if (!thread.worker || thread.at) continue;
      m.enter(thread.worker);
      progress = true;
    }
    if (!progress) block.fault = standstill(block);
  }
}

}  // namespace

void set_order(Order order) { machine().order = order; }
long launches() { return machine().launches; }

namespace detail {

namespace {
[[noreturn]] void refuse(const char* name, const Dim& grid, const Dim& block, const std::string& why) {
  throw Error(concat("emulator: kernel ", name, " over grid ", text(grid), " of blocks ", text(block), ": ", why));
}
}  // namespace

void check_grid(const char* name, const Dim& grid, const Dim& block, std::size_t shared) {
  const auto no = [&](const std::string& why) { refuse(name, grid, block, why); };
  const std::size_t threads = std::size_t{block.x} * block.y * block.z;
  if (machine().in_kernel) no("a kernel launches a kernel");
  if (std::size_t{grid.x} * grid.y * grid.z == 0 || threads == 0) no("there is nothing to run");
  if (threads > max_threads) no(concat("a block has at most ", max_threads, " threads"));
  if (threads % warp_size != 0) no("the threads are no whole number of warps");
  if (grid.x > max_blocks_x || grid.y > max_blocks_yz || grid.z > max_blocks_yz) no("there are too many blocks");
  if (shared > max_shared) no(concat(shared, " bytes of shared memory are more than ", max_shared));
}

void run(const char* name, const Dim& grid, const Dim& block, std::size_t shared, void (*call)(void*), void* body) {
  check_grid(name, grid, block, shared);
  Machine& m = machine();
  const std::size_t threads = std::size_t{block.x} * block.y * block.z;
  ++m.launches;
  m.block.threads.assign(threads, {});
  m.block.warps.resize(threads / warp_size);
  m.block.call = call;
  m.block.body = body;
  m.block.fault.clear();
  m.dynamic_shared.resize((shared + sizeof(float4) - 1) / sizeof(float4));
  m.block.place = {Dim(0, 0, 0), Dim(0, 0, 0), block, grid};
  const std::size_t blocks = std::size_t{grid.x} * grid.y * grid.z;
  m.in_kernel = true;
  {
    const DeviceAccess access;
    for (std::size_t i = 0; i < blocks && m.block.fault.empty(); ++i) {
      const std::size_t b = m.order == Order::ascending ? i : blocks - 1 - i;
      m.block.place.block = Dim(static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                                static_cast<unsigned>(b / grid.x / grid.y));
      run_block(m);
    }
  }
  m.in_kernel = false;
  if (m.block.fault.empty()) return;
  // Those that stand in the middle of a thread begin anew.
  m.idle.clear();
  for (auto& worker : m.all) {
    worker->fibre.prepare(&Worker::work, worker.get());
    m.idle.push_back(worker.get());
  }
  refuse(name, grid, block, std::exchange(m.block.fault, {}));
}

void look_for_host_addresses(const char* name, const void* argument, const void* cleared, std::size_t bytes) {
  // Below lie numbers that a struct of two ints, or a sanitizer's own memory, may look like.
  constexpr std::uintptr_t lowest = std::uintptr_t{1} << 44, highest = std::uintptr_t{1} << 47;
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  // The last word of a struct may be a formula without members, which nothing ever writes.
  const std::size_t seen = bytes > sizeof(void*) ? bytes - sizeof(void*) : bytes;
  for (std::size_t at = 0; at + sizeof(void*) <= seen; at += sizeof(void*)) {
    const auto seems_an_address = [&](const void* from) {
      std::uintptr_t word = 0;
      std::memcpy(&word, static_cast<const char*>(from) + at, sizeof word);
      if (word < lowest || word >= highest || word % 4 != 0) return false;
      // A float such as 1 or 0.5, whose lower digits are zeros, with half of a stale address in the gap behind it: GCC
      // 12 does not clear every gap of a struct in a closure. Memory of the host that begins at such a round address is
      // not found.
      if (word % 0x10000 == 0) return false;
      if (is_device_address(reinterpret_cast<const void*>(word))) return false;
      unsigned char resident = 0;
      return mincore(reinterpret_cast<void*>(word / page * page), page, &resident) == 0;  // something lies there
    };
    if (!seems_an_address(argument) || !seems_an_address(cleared)) continue;
    throw Error(concat("emulator: an argument of kernel ", name, " holds, at byte ", at, " of ", bytes,
                       ", the address of memory of the host"));
  }
}

void barrier(Site site) {
  Block& block = machine().block;
  if (block.at_barrier == 0) block.barrier = site;
  if (block.barrier.line != site.line || std::strcmp(block.barrier.file, site.file) != 0)
    fail(concat("thread ", block.current, " reaches the barrier in ", text(site), " while others wait at the one in ",
                text(block.barrier)));
  if (++block.at_barrier < block.threads.size()) {
    wait("a barrier", site);
    return;
  }
  block.at_barrier = 0;
  for (Waiting& thread : block.threads) thread.at = nullptr;
}

const char* gather(Site site, unsigned mask, const void* value, std::size_t bytes) {
  Block& block = machine().block;
  const unsigned t = block.current, lane = t % warp_size;
  Warp& warp = block.warps[t / warp_size];
  if (mask != 0xffffffffu) fail(concat("the exchange in ", text(site), " names only some lanes of its warp"));
  if (warp.arrived == 0) warp.site = site;
  if (warp.site.line != site.line || std::strcmp(warp.site.file, site.file) != 0)
    fail(concat("thread ", t, " reaches the exchange in ", text(site), " while others of its warp wait at the one in ",
                text(warp.site)));
  const unsigned row = warp.phase % 2;
  std::memcpy(warp.row[row][lane].bytes, value, bytes);
  warp.arrived |= 1u << lane;
  if (warp.arrived != 0xffffffffu) {
    wait("an exchange", site);
  } else {
    warp.arrived = 0;
    ++warp.phase;
    for (unsigned i = 0; i < warp_size; ++i) block.threads[t - lane + i].at = nullptr;
  }
  return warp.row[row][0].bytes;
}

long block_number() { return machine().blocks; }
void count_shared(std::size_t bytes) {
  Machine& m = machine();
  m.shared_bytes += bytes;
  if (m.shared_bytes > max_shared)
    fail(concat("the block takes ", m.shared_bytes, " bytes of shared memory, more than ", max_shared));
}
void* dynamic_shared() { return machine().dynamic_shared.data(); }

}  // namespace detail
}  // namespace phonaut::emulator
