#pragma once
#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/kernels.hpp"

namespace phonaut::formula {

struct Tanh {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return tanh(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    const S y = tanh(x);
    return S(1) - y * y;
  }
};
PHONAUT_MAP_KERNELS(Tanh)

/// 1 / (1 + exp(-x)).
struct Sigmoid {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return sigmoid(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    const S y = sigmoid(x);
    return y * (S(1) - y);
  }
};
PHONAUT_MAP_KERNELS(Sigmoid)

/// log(1 + exp(x)).
struct Softplus {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return softplus(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return sigmoid(x);
  }
};
PHONAUT_MAP_KERNELS(Softplus)

/// max(x, 0); its slope at 0 is 0, as in PyTorch.
struct Relu {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return max(x, S(0));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return select(x > S(0), S(1), S(0));
  }
};
PHONAUT_MAP_KERNELS(Relu)

/// x where positive, else `leak` * x.
struct LeakyRelu {
  float leak = 0.01f;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return select(x > S(0), x, S(leak) * x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return select(x > S(0), S(1), S(leak));
  }
};
PHONAUT_MAP_KERNELS(LeakyRelu)

/// x where positive, else `alpha` (exp(x) - 1). Clevert et al., 2015.
struct Elu {
  float alpha = 1;
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return select(x > S(0), x, S(alpha) * expm1(min(x, S(0))));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    return select(x > S(0), S(1), S(alpha) * exp(min(x, S(0))));
  }
};
PHONAUT_MAP_KERNELS(Elu)

/// x sigmoid(x), also called swish. Elfwing et al., 2017.
struct Silu {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return x * sigmoid(x);
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    const S y = sigmoid(x);
    return y * (S(1) + x * (S(1) - y));
  }
};
PHONAUT_MAP_KERNELS(Silu)

/// x times the normal distribution function: the exact GELU, through erf. Hendrycks and Gimpel, 2016.
struct Gelu {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return S(0.5) * x * (S(1) + erf(S(0.70710678118654752) * x));
  }
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S slope(S x) const {
    const S density = S(0.39894228040143268) * exp(S(-0.5) * x * x);
    return S(0.5) * (S(1) + erf(S(0.70710678118654752) * x)) + x * density;
  }
};
PHONAUT_MAP_KERNELS(Gelu)

}  // namespace phonaut::formula
