#include "phonaut/training/formula/sgd.hpp"

#include "update.cuh"

PHONAUT_UPDATE(SgdRule)
