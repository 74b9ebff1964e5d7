#include "phonaut/training/formula/lion.hpp"

#include "update.hpp"

PHONAUT_UPDATE(LionRule)
