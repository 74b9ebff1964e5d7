#include <cstddef>
#include <cstdint>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "phonaut/core/backend.hpp"

namespace phonaut {

namespace {
// A cache line, and a whole AVX-512 register.
constexpr std::align_val_t kAlignment{64};
constexpr std::size_t kHugePage = std::size_t{2} << 20;
}  // namespace

void* HostMemory::allocate(std::size_t bytes) {
  void* p = ::operator new(bytes, kAlignment);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  // A page fault costs about 2 us for each 4 KiB, so large buffers ask for large pages where whole ones fit. A refusal
  // costs speed, nothing else.
  if (bytes >= 2 * kHugePage) {
    const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(p) % kHugePage) % kHugePage;
    madvise(static_cast<std::byte*>(p) + before, (bytes - before) / kHugePage * kHugePage, MADV_HUGEPAGE);
  }
#endif
  return p;
}

void HostMemory::release(void* p) noexcept { ::operator delete(p, kAlignment); }

}  // namespace phonaut
