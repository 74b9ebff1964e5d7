#pragma once
// The matrix product with weights in bytes.
#include "isa.hpp"
#include "packed_matrix.hpp"
#include "phonaut/ops/gemm.hpp"

#ifndef PHONAUT_ISA
namespace phonaut::kernel {

/// c[i, j] (= or +=) s_i t_j Σ_p q[i, p] r[j, p] + bias[j], then the activation: q are row i of `a` as bytes of scale
/// s_i, r row j of `b`, whose scale is t_j. Needs k > 0, consecutive numbers in rows of a (a_col is 1), and one b for
/// all of a batch.
void multiply_bytes(const Cpu& cpu, const Gemm<float>& g, const PackedBytes& b);

}  // namespace phonaut::kernel
#endif
