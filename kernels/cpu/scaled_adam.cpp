#include "phonaut/training/formula/scaled_adam.hpp"

#include "update.hpp"

PHONAUT_UPDATE(ScaledAdamRule)
