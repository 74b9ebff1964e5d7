#include "phonaut/ops/formula/swoosh.hpp"

#include "map.cuh"

PHONAUT_CUDA_MAP(SwooshL)
PHONAUT_CUDA_MAP(SwooshR)
