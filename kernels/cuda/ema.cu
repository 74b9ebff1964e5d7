#include "phonaut/training/formula/ema.hpp"

#include "update.cuh"

PHONAUT_UPDATE(EmaRule)
