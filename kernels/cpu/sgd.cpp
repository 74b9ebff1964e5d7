#include "phonaut/training/formula/sgd.hpp"

#include "update.hpp"

PHONAUT_UPDATE(SgdRule)
