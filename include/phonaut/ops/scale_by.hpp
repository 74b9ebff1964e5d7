#pragma once
// Scaling by a number that lives in the backend's memory: how a loss's gradient meets the gradient of the loss.
#include "phonaut/ops/arithmetic.hpp"

namespace phonaut::kernel {

/// y = (*a) x, or y += (*a) x.
template <class B, class S>
requires std::is_base_of_v<Reference, B>
void scale_by(const B& backend, const S* a, View<const S, 1> x, S* y, bool add) { scale(backend, *a, x, y, add); }

}  // namespace phonaut::kernel
