#pragma once
// Ranks that are threads of one process: for tests, and to see what a data parallel program does under a debugger.
#include <functional>

#include "phonaut/core/communicator.hpp"

namespace phonaut {

/// Calls work(ranks) on `count` threads, each of which is a rank, and returns when all are done. If one throws, the
/// others get RankError in the collective that they wait in or call next, and what was thrown first is thrown here.
/// Throws ConfigError below one rank.
void run_on_threads(int count, const std::function<void(Ranks)>& work);

}  // namespace phonaut
