#pragma once

namespace phonaut {

/// How the terms of a loss become one number.
enum class Reduction { mean, sum };

}  // namespace phonaut
