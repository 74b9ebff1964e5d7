// expect: no matching function for call to .*tilt_forward
// An op without a CUDA kernel does not compile on a CUDA context, and the error names the kernel.
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {
template <class S>
void tilt_forward(const Reference&, View<const S, 1> x, S* y) {
  for (long i = 0; i < x.size(); ++i) y[i] = x.data[i] * S(i);
}
}  // namespace kernel

template <class B>
Var<B, 1> tilt(const Var<B, 1>& x) {
  auto y = x.context().empty(x.shape());
  kernel::tilt_forward(x.context().backend(), x.in(), y.data());
  return record(
      std::move(y), [](Context<B>&, const Tensor<B, 1>&) {}, x);
}

#ifdef BREAK
Var<Cuda, 1> broken(const Var<Cuda, 1>& x) { return tilt(x); }
#else
Var<Cpu, 1> fine(const Var<Cpu, 1>& x) { return tilt(x); }
#endif

}  // namespace phonaut
