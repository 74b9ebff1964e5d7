// expect: no match(ing function)? for .*operator\+|deduced conflicting
// Values of different rank cannot be added.
#include "phonaut/ops/arithmetic.hpp"

namespace phonaut {
#ifdef BREAK
auto broken(const Var<Cpu, 1>& x, const Var<Cpu, 2>& y) { return x + y; }
#else
auto fine(const Var<Cpu, 2>& x, const Var<Cpu, 2>& y) { return x + y; }
#endif
}  // namespace phonaut
