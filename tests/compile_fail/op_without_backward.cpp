// expect: no matching function for call to .*record|an op is recorded with its backward
// Whoever forgets the backward of an op hears of it from the compiler.
#include "phonaut/core/context.hpp"

namespace phonaut {

Var<Cpu, 1> copy(const Var<Cpu, 1>& x) {
  auto y = x.context().clone(x.tensor());
#ifdef BREAK
  return record(std::move(y), x);
#else
  return record(
      std::move(y), [](Context<Cpu>&, const Tensor<Cpu, 1>&) {}, x);
#endif
}

}  // namespace phonaut
