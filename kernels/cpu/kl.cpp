#include "phonaut/ops/formula/kl.hpp"

#include "map.hpp"
#include "pair.hpp"

PHONAUT_MAP(DeviationOfLogVariance)
PHONAUT_MAP(DeviationOfSoftplus)
PHONAUT_MAP(AtLeast)
PHONAUT_PAIR(KlOfLogVariance)
PHONAUT_PAIR(KlOfSoftplus)
PHONAUT_PAIR(FlooredKlOfLogVariance)
PHONAUT_PAIR(FlooredKlOfSoftplus)
