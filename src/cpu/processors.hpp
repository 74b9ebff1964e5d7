#pragma once

namespace phonaut {

/// How many processors this process may run on (its affinity, not the whole machine), at least 1.
int processors() noexcept;

}  // namespace phonaut
