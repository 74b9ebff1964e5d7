#include "kernels/cpu/scratch.hpp"

#include "phonaut/core/backend.hpp"

namespace phonaut::kernel {

namespace {
struct Block {
  float* data = nullptr;
  long floats = 0;
  Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { HostMemory::release(data); }
};
}  // namespace

float* scratch(Scratch owner, long floats) {
  thread_local Block blocks[2];
  Block& block = blocks[static_cast<int>(owner)];
  if (block.floats < floats) {
    HostMemory::release(block.data);
    block.data = nullptr;
    block.floats = 0;
    block.data = static_cast<float*>(HostMemory::allocate(static_cast<std::size_t>(floats) * sizeof(float)));
    block.floats = floats;
  }
  return block.data;
}

}  // namespace phonaut::kernel
