#include "phonaut/ops/formula/log_plus.hpp"

#include "map.cuh"

PHONAUT_CUDA_MAP(LogPlus)
