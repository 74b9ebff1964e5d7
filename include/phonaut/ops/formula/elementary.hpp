#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/kernels.hpp"

namespace phonaut::formula {

struct Exp {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return exp(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return exp(x);
  }
};
PHONAUT_MAP_KERNELS(Exp)

/// exp(x) - 1, without cancellation near 0.
struct Expm1 {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return expm1(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return exp(x);
  }
};
PHONAUT_MAP_KERNELS(Expm1)

/// Natural logarithm: -inf at 0, NaN below.
struct Log {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return log(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return S(1) / x;
  }
};
PHONAUT_MAP_KERNELS(Log)

/// log(1 + x), without cancellation near 0.
struct Log1p {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return log1p(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return S(1) / (S(1) + x);
  }
};
PHONAUT_MAP_KERNELS(Log1p)

/// log(max(x, floor)), flat below the floor.
struct LogAbove {
  float floor = 1e-10f;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return log(max(x, S(floor)));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return select(x > S(floor), S(1) / x, S(0));
  }
};
PHONAUT_MAP_KERNELS(LogAbove)

/// |x|; its slope at 0 is 0.
struct Abs {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return abs(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return select(x > S(0), S(1), select(x < S(0), S(-1), S(0)));
  }
};
PHONAUT_MAP_KERNELS(Abs)

struct Sqrt {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return sqrt(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return S(0.5) / sqrt(x);
  }
};
PHONAUT_MAP_KERNELS(Sqrt)

struct Square {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return x * x;
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return S(2) * x;
  }
};
PHONAUT_MAP_KERNELS(Square)

struct Sin {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return sin(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return cos(x);
  }
};
PHONAUT_MAP_KERNELS(Sin)

struct Cos {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return cos(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return -sin(x);
  }
};
PHONAUT_MAP_KERNELS(Cos)

/// 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x.
struct Erf {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return erf(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return S(1.1283791670955126) * exp(-x * x);
  }
};
PHONAUT_MAP_KERNELS(Erf)

}  // namespace phonaut::formula
