#include "phonaut/ops/formula/swoosh.hpp"

#include "map.hpp"

PHONAUT_MAP(SwooshL)
PHONAUT_MAP(SwooshR)
