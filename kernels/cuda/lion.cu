#include "phonaut/training/formula/lion.hpp"

#include "update.cuh"

PHONAUT_UPDATE(LionRule)
