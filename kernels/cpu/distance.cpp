#include "phonaut/ops/formula/distance.hpp"

#include "pair.hpp"

PHONAUT_PAIR(Distance)
PHONAUT_PAIR(SquaredDistance)
PHONAUT_PAIR(SmoothDistance)
PHONAUT_PAIR(Product)
