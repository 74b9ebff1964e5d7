#pragma once
// Counts what a program asks the system for: every operator new, and every aligned block (the memory of tensors and
// kernels). It replaces the operators of the whole program, so include it in one source file of a program only.
// Sanitizers, which have operators of their own, are asked instead.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PHONAUT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PHONAUT_SANITIZED 1
#endif
#endif
#ifdef PHONAUT_SANITIZED
#include <sanitizer/allocator_interface.h>
#endif

namespace {

std::atomic<long> allocations{0};

}  // namespace

#ifdef PHONAUT_SANITIZED
namespace {

const int counting = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, std::size_t) { allocations.fetch_add(1, std::memory_order_relaxed); },
    [](const volatile void*) {});

}  // namespace
#else
namespace {

void* counted(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* p = std::malloc(bytes > 0 ? bytes : 1)) return p;
  throw std::bad_alloc();
}
void* counted(std::size_t bytes, std::size_t alignment) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* p = nullptr;
  if (posix_memalign(&p, alignment, bytes > 0 ? bytes : 1) != 0) throw std::bad_alloc();
  return p;
}

}  // namespace

// All forms that can throw; the others call these. (C++20, [new.delete])
void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void* operator new(std::size_t bytes, std::align_val_t a) { return counted(bytes, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t bytes, std::align_val_t a) { return counted(bytes, static_cast<std::size_t>(a)); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

// HostMemory asks here.
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* p = nullptr;
  return posix_memalign(&p, alignment, bytes) == 0 ? p : nullptr;
}
#endif

namespace {

template <class F>
long allocations_during(const F& f) {
  const long before = allocations.load();
  f();
  return allocations.load() - before;
}

/// The same of an `f` that has run before. A thread that gets its first piece of a kernel late brings its scratch
/// memory late, above all on a busy machine: what is not there any more when `f` runs again was such warming up.
template <class F>
long allocations_when_warm(const F& f) {
  long least = allocations_during(f);
  for (int again = 0; again < 20 && least > 0; ++again) least = std::min(least, allocations_during(f));
  return least;
}

}  // namespace
