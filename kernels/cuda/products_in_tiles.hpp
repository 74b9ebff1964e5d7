#pragma once
#include "phonaut/ops/utterance_products.hpp"

namespace phonaut::cuda {

/// Products by own tiles, in single precision, whatever the context asks for: of rows that overlap, of sizes for which
/// a library has nothing or is too much, and in one launch where each utterance has a size of its own. Bias and
/// activation are those of `first`.
void products_in_tiles(const Cuda& cuda, const kernel::UtteranceProducts<float>& p);

}  // namespace phonaut::cuda
