#include "phonaut/training/formula/scaled_adam.hpp"

#include "update.cuh"

PHONAUT_UPDATE(ScaledAdamRule)
