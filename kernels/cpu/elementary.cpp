#include "phonaut/ops/formula/elementary.hpp"

#include "map.hpp"

PHONAUT_MAP(Exp)
PHONAUT_MAP(Expm1)
PHONAUT_MAP(Log)
PHONAUT_MAP(Log1p)
PHONAUT_MAP(LogAbove)
PHONAUT_MAP(Abs)
PHONAUT_MAP(Sqrt)
PHONAUT_MAP(Square)
PHONAUT_MAP(Sin)
PHONAUT_MAP(Cos)
PHONAUT_MAP(Erf)
