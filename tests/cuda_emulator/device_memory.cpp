#include "device_memory.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

namespace phonaut::emulator {

namespace {

constexpr std::size_t arena_bytes = std::size_t{1} << 34;  // of addresses; pages come when they are touched
constexpr std::size_t gap = 256;                           // between blocks, and what their addresses are multiples of
constexpr std::size_t page = 1 << 16;                      // protection changes in steps that every system allows

class Arena {
 public:
  Arena() {
    void* pages = mmap(nullptr, arena_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<char*>(pages);
  }
  void* allocate(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    const std::size_t room = (bytes + gap - 1) / gap * gap + gap;
    std::vector<char*>& free = free_[room];
    char* p = nullptr;
    if (!free.empty()) {
      p = free.back();
      free.pop_back();
    } else {
      if (used_ + room > arena_bytes) throw std::bad_alloc();
      p = base_ + used_;
      used_ += room;
      while (ready_ < used_) ready_ += page;
      if (users_ > 0) protect(PROT_READ | PROT_WRITE);
      ASAN_POISON_MEMORY_REGION(p, room);
    }
    room_[p] = room;
    ASAN_UNPOISON_MEMORY_REGION(p, bytes);
    return p;
  }
  void release(void* p) {
    const std::lock_guard lock(mutex_);
    const auto found = room_.find(static_cast<char*>(p));
    if (found == room_.end()) return;
    ASAN_POISON_MEMORY_REGION(p, found->second);
    give_back_pages(found->first, found->second);
    free_[found->second].push_back(found->first);
    room_.erase(found);
  }
  bool holds(const void* p) const {
    const auto at = reinterpret_cast<std::uintptr_t>(p), base = reinterpret_cast<std::uintptr_t>(base_);
    return at >= base && at - base < arena_bytes;
  }
  void open() {
    const std::lock_guard lock(mutex_);
    if (users_++ == 0) protect(PROT_READ | PROT_WRITE);
  }
  void close() {
    const std::lock_guard lock(mutex_);
    if (--users_ == 0) protect(PROT_NONE);
  }

 private:
  /// What lies in a large block is lost: every change of protection takes time for all pages that are there.
  static void give_back_pages(char* p, std::size_t bytes) {
    const auto begin = (reinterpret_cast<std::uintptr_t>(p) + page - 1) / page * page;
    const auto end = (reinterpret_cast<std::uintptr_t>(p) + bytes) / page * page;
    if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  void protect(int how) {
    if (ready_ > 0 && mprotect(base_, ready_, how) != 0) throw std::bad_alloc();
  }

  std::mutex mutex_;
  char* base_ = nullptr;
  std::size_t used_ = 0, ready_ = 0;
  long users_ = 0;
  std::map<std::size_t, std::vector<char*>> free_;
  std::unordered_map<char*, std::size_t> room_;
};

/// Never destroyed: tensors that live as long as the program give their memory back after it.
Arena& arena() {
  static auto* a = new Arena;
  return *a;
}

}  // namespace

void* allocate_device(std::size_t bytes) { return arena().allocate(bytes); }
void release_device(void* p) noexcept {
  if (p) arena().release(p);
}
bool is_device_address(const void* p) { return arena().holds(p); }

DeviceAccess::DeviceAccess() { arena().open(); }
DeviceAccess::~DeviceAccess() { arena().close(); }

}  // namespace phonaut::emulator
