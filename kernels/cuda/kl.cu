#include "phonaut/ops/formula/kl.hpp"

#include "map.cuh"
#include "pair.cuh"

PHONAUT_CUDA_MAP(DeviationOfLogVariance)
PHONAUT_CUDA_MAP(DeviationOfSoftplus)
PHONAUT_CUDA_MAP(AtLeast)
PHONAUT_CUDA_PAIR(KlOfLogVariance)
PHONAUT_CUDA_PAIR(KlOfSoftplus)
PHONAUT_CUDA_PAIR(FlooredKlOfLogVariance)
PHONAUT_CUDA_PAIR(FlooredKlOfSoftplus)
