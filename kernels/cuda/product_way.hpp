#pragma once

namespace phonaut::cuda {

/// How the products of many utterances are computed (way.hpp).
enum class ProductWay {
  by_size,  ///< whichever promises to be quicker (utterance_products.cu)
  library,  ///< cuBLASLt: a call for each utterance, or for each head of all of them
  tiles     ///< own tiles, all of them in one launch
};

}  // namespace phonaut::cuda
