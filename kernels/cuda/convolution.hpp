#pragma once
// 1-D convolutions as a library knows them: over whole batches, dilation and all, in one call.
#include <compare>

#include "phonaut/ops/conv1d_products.hpp"

namespace phonaut::cuda {

/// y[n, t, o] = Σ_k Σ_c w[o, k, c] x[n, t · stride + k · dilation, c] over channels-last frames; w (out, taps, in) lies
/// packed. The three of its passes compute y, what x gets from y, or what w gets from x and y.
struct Convolution {
  enum class Pass { forward, data, filter };

  Pass pass = Pass::forward;
  long batch = 1, frames = 0, in = 0, out = 0;  ///< frames and channels of y; channels of x
  long taps = 1, stride = 1, dilation = 1;
  long x_batch = 0, x_frame = 0, y_batch = 0, y_frame = 0;  ///< elements between utterances and between frames
  bool add = false;                                         ///< to what is there

  /// Frames of x that are seen.
  long frames_seen() const { return (frames - 1) * stride + dilation * (taps - 1) + 1; }
  auto operator<=>(const Convolution&) const = default;
};

/// What computes convolutions (way.hpp).
enum class ConvolutionWay {
  by_shape,  ///< cuDNN for those that are many products, or narrow ones; products for the others
  products,  ///< matrix products (ops/conv1d_products.hpp)
  cudnn      ///< cuDNN, where it is there and can
};

}  // namespace phonaut::cuda
