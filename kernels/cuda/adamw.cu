#include "phonaut/training/formula/adamw.hpp"

#include "update.cuh"

PHONAUT_UPDATE(AdamwRule)
