#include "phonaut/ops/formula/activation.hpp"

#include "map.cuh"

PHONAUT_CUDA_MAP(Tanh)
PHONAUT_CUDA_MAP(Sigmoid)
PHONAUT_CUDA_MAP(Softplus)
PHONAUT_CUDA_MAP(Relu)
PHONAUT_CUDA_MAP(LeakyRelu)
PHONAUT_CUDA_MAP(Elu)
PHONAUT_CUDA_MAP(Silu)
PHONAUT_CUDA_MAP(Gelu)
