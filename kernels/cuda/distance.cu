#include "phonaut/ops/formula/distance.hpp"

#include "pair.cuh"

PHONAUT_CUDA_PAIR(Distance)
PHONAUT_CUDA_PAIR(SquaredDistance)
PHONAUT_CUDA_PAIR(SmoothDistance)
PHONAUT_CUDA_PAIR(Product)
