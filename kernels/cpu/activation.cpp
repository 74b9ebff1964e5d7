#include "phonaut/ops/formula/activation.hpp"

#include "map.hpp"

PHONAUT_MAP(Tanh)
PHONAUT_MAP(Sigmoid)
PHONAUT_MAP(Softplus)
PHONAUT_MAP(Relu)
PHONAUT_MAP(LeakyRelu)
PHONAUT_MAP(Elu)
PHONAUT_MAP(Silu)
PHONAUT_MAP(Gelu)
