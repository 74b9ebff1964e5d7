#pragma once
// Ref-counted memory blocks and the pool that recycles them, so that a program in steady state allocates nothing.
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace phonaut {

template <class Memory>
class Pool;

namespace detail {

/// One allocation. `home` is the pool it returns to; null for memory that is released outright (parameters).
template <class Memory>
struct Block {
  void* data = nullptr;
  int size_class = 0;
  std::atomic<long> references{1};
  Pool<Memory>* home = nullptr;
  Block* next = nullptr;
};

}  // namespace detail

/// A shared, ref-counted piece of memory of a backend. Copies share it; the last one gives it back. Blocks may be
/// dropped on any thread and may outlive the pool (and the context) that they came from.
template <class Memory>
class Storage {
 public:
  Storage() = default;
  explicit Storage(detail::Block<Memory>* adopted) : block_(adopted) {}
  Storage(const Storage& other) : block_(other.block_) {
    if (block_) block_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Storage(Storage&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Storage& operator=(Storage other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Storage() {
    if (block_ && block_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) Pool<Memory>::give_back(block_);
  }

  /// Memory of its own, not from a pool: for parameters, which are shared between contexts and threads.
  static Storage persistent(std::size_t bytes) {
    if (bytes == 0) return {};
    auto* block = new detail::Block<Memory>;
    try {
      block->data = Memory::allocate(bytes);
    } catch (...) {
      delete block;
      throw;
    }
    return Storage(block);
  }

  void* data() const { return block_ ? block_->data : nullptr; }
  /// Whether somebody else holds the same memory.
  bool shared() const { return block_ && block_->references.load(std::memory_order_acquire) > 1; }

 private:
  detail::Block<Memory>* block_ = nullptr;
};

/// Recycles blocks by size class. `take` belongs to one thread (that of the context); blocks come back from any thread
/// through a lock-free stack, which only `take` empties, and always whole (hence no ABA problem).
///
/// On a GPU a block comes back while work on it may still be queued. Whoever takes it next queues behind that, on the
/// stream of the pool's context. Work on another stream must have been waited for (core/cuda_stream.hpp) before the
/// last tensor of the block goes.
template <class Memory>
class Pool {
 public:
  using Block = detail::Block<Memory>;

  static Pool* create() { return new Pool; }

  /// A block of at least `bytes`, with unspecified contents.
  Storage<Memory> take(std::size_t bytes) {
    if (bytes == 0) return {};
    const int size_class = class_of(bytes);
    Block* block = pop(size_class);
    if (!block) {
      collect();
      block = pop(size_class);
    }
    if (!block) block = make(size_class);
    block->references.store(1, std::memory_order_relaxed);
    return Storage<Memory>(block);
  }

  /// Adds a free block of the same size for every block in use: who repeats what was done with this pool so far, while
  /// the results of the first time are still held, finds every block that it takes.
  void restock() {
    collect();
    for (int c = 0; c < kClasses; ++c) {
      Block*& list = free_[static_cast<std::size_t>(c)];
      long in_use = made_[static_cast<std::size_t>(c)];
      for (const Block* block = list; block; block = block->next) --in_use;
      for (; in_use > 0; --in_use) {
        Block* block = make(c);
        block->next = list;
        list = block;
      }
    }
  }

  /// Bytes that this pool ever asked the system for and still holds, in use or waiting.
  std::size_t reserved_bytes() const { return reserved_; }

  /// Releases the blocks that nobody uses.
  void trim() {
    collect();
    for (Block*& list : free_)
      while (Block* block = list) {
        list = block->next;
        --created_;
        --made_[static_cast<std::size_t>(block->size_class)];
        reserved_ -= class_bytes(block->size_class);
        destroy(block);
      }
  }

  /// The context is done with the pool. Blocks that are still in use keep it alive; the last of them deletes it.
  void retire() {
    trim();
    Block* returned = returned_.exchange(retired_mark(), std::memory_order_acq_rel);
    while (returned) {
      Block* next = returned->next;
      destroy(returned);
      --created_;
      returned = next;
    }
    // From now on every returning block counts itself down; whoever arrives at zero turns off the light.
    if (outstanding_.fetch_add(created_, std::memory_order_acq_rel) + created_ == 0) delete this;
  }

  static void give_back(Block* block) noexcept {
    Pool* home = block->home;
    if (!home) {
      destroy(block);
      return;
    }
    Block* head = home->returned_.load(std::memory_order_relaxed);
    for (;;) {
      if (head == home->retired_mark()) {
        destroy(block);
        if (home->outstanding_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete home;
        return;
      }
      block->next = head;
      if (home->returned_.compare_exchange_weak(head, block, std::memory_order_acq_rel, std::memory_order_relaxed))
        return;
    }
  }

 private:
  Pool() = default;
  ~Pool() = default;

  // Four classes per power of two: at most a quarter of a block is wasted.
  static constexpr int kClasses = 4 * 48;
  static int class_of(std::size_t bytes) {
    if (bytes <= 256) return 0;
    const std::size_t n = bytes - 1;
    const int top = std::bit_width(n) - 1;  // 2^top <= n
    return 4 * (top - 8) + static_cast<int>((n >> (top - 2)) & 3) + 1;
  }
  static std::size_t class_bytes(int size_class) {
    if (size_class == 0) return 256;
    const int top = (size_class - 1) / 4 + 8, quarter = (size_class - 1) % 4;
    return (std::size_t(5 + quarter)) << (top - 2);
  }

  Block* make(int size_class) {
    auto* block = new Block;
    try {
      block->data = Memory::allocate(class_bytes(size_class));
    } catch (...) {
      delete block;
      throw;
    }
    block->size_class = size_class;
    block->home = this;
    ++created_;
    ++made_[static_cast<std::size_t>(size_class)];
    reserved_ += class_bytes(size_class);
    return block;
  }
  Block* pop(int size_class) {
    Block* block = free_[static_cast<std::size_t>(size_class)];
    if (block) free_[static_cast<std::size_t>(size_class)] = block->next;
    return block;
  }
  void collect() {
    Block* block = returned_.exchange(nullptr, std::memory_order_acq_rel);
    while (block) {
      Block* next = block->next;
      Block*& list = free_[static_cast<std::size_t>(block->size_class)];
      block->next = list;
      list = block;
      block = next;
    }
  }
  static void destroy(Block* block) noexcept {
    Memory::release(block->data);
    delete block;
  }
  Block* retired_mark() { return reinterpret_cast<Block*>(this); }

  std::array<Block*, kClasses> free_{};
  std::array<long, kClasses> made_{};
  std::atomic<Block*> returned_{nullptr};
  std::atomic<long> outstanding_{0};
  long created_ = 0;
  std::size_t reserved_ = 0;
};

}  // namespace phonaut
