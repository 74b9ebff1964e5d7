#include "phonaut/training/formula/ema.hpp"

#include "update.hpp"

PHONAUT_UPDATE(EmaRule)
