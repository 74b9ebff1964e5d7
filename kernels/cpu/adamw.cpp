#include "phonaut/training/formula/adamw.hpp"

#include "update.hpp"

PHONAUT_UPDATE(AdamwRule)
