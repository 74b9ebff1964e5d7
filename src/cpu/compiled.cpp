// The definitions behind include/phonaut/compiled.hpp.
#define PHONAUT_COMPILED template
#include "phonaut/compiled.hpp"
