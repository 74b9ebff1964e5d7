// Formulas that only the losses use, and that run as reference loops on Cpu.
#include "map.cuh"
#include "phonaut/ops/formula/angular_margin.hpp"
#include "phonaut/ops/formula/clamped_exp.hpp"
#include "phonaut/ops/formula/cube_root.hpp"
#include "phonaut/ops/formula/entropy.hpp"
#include "phonaut/ops/formula/hinge.hpp"
#include "phonaut/ops/formula/log_sigmoid.hpp"

PHONAUT_CUDA_MAP(AngularMargin)
PHONAUT_CUDA_MAP(ClampedExp)
PHONAUT_CUDA_MAP(CubeRoot)
PHONAUT_CUDA_MAP(XLogX)
PHONAUT_CUDA_MAP(BitEntropy)
PHONAUT_CUDA_MAP(LogitEntropy)
PHONAUT_CUDA_MAP(DeviationHinge)
PHONAUT_CUDA_MAP(HingeAbove)
PHONAUT_CUDA_MAP(HingeBelow)
PHONAUT_CUDA_MAP(SquaredFromOne)
PHONAUT_CUDA_MAP(Reciprocal)
PHONAUT_CUDA_MAP(LogSigmoid)
