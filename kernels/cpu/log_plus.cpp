#include "phonaut/ops/formula/log_plus.hpp"

#include "map.hpp"

PHONAUT_MAP(LogPlus)
