// Must be caught by cmake/CheckIsaObjects.cmake: an inline function outside of the instruction set's namespace. Built
// with AVX-512, the linker may let it stand in for the same function of a file that was built for any processor.
namespace elsewhere {
template <class T>
[[gnu::noinline]] T twice(T x) {
  return x + x;
}
}  // namespace elsewhere

namespace phonaut::kernel::PHONAUT_ISA {
float leak(float x) { return elsewhere::twice(x); }
}  // namespace phonaut::kernel::PHONAUT_ISA
