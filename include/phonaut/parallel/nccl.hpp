#pragma once
// Ranks that each drive a GPU: gradients go from GPU to GPU by NVIDIA's NCCL. Needs phonaut::nccl, which is built where
// CUDA and NCCL are found.
#include "phonaut/core/communicator.hpp"

namespace phonaut {

/// The same ranks as `host`, whose sums of gradients do not go through the host: a collective. Each rank chooses its
/// GPU first (cudaSetDevice), a different one each. NCCL is started over `host`, which also carries everything else,
/// and is how a rank learns that another has failed.
///
/// All ranks get the same bits: each adds up one part of the values and tells the others. The order of a sum is NCCL's,
/// which is fixed for given GPUs and their links but need not be that of the ranks. Throws RankError if NCCL cannot
/// start.
Ranks over_nccl(const Ranks& host);

}  // namespace phonaut
