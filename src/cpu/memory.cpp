#include <new>

#include "phonaut/core/backend.hpp"

namespace phonaut {

// A cache line, and a whole AVX-512 register.
constexpr std::align_val_t kAlignment{64};

void* HostMemory::allocate(std::size_t bytes) { return ::operator new(bytes, kAlignment); }
void HostMemory::release(void* p) noexcept { ::operator delete(p, kAlignment); }

}  // namespace phonaut
