#include "parallel.hpp"
#include "phonaut/ops/spectral_kernels.hpp"

#ifdef PHONAUT_ISA
#include "frame_lanes.hpp"

namespace phonaut::kernel::PHONAUT_ISA {

/// Calls run(piece, scratch) for all pieces. Each worker has a scratch of its own; who computes a piece does not
/// matter.
template <class Tables, class F>
PHONAUT_INLINE void for_each_piece(const Cpu& cpu, const Tables& t, const spectral::Pieces& pieces, float* scratch,
                                   const F& run) {
  const long workers = cpu.threads < pieces.count ? cpu.threads : pieces.count;
  const long room = spectral::scratch_per_worker(t, 16);
  parallel_for(workers, workers, [&](long worker) {
    for (long i = worker; i < pieces.count; i += workers) run(i, scratch + worker * room);
  });
}

void analysis_forward(const Cpu& cpu, const spectral::Analysis<float>& t, View<const float, 2> x, const long* frames,
                      View<float, 3> y, float* scratch) {
  const spectral::Pieces pieces(y.shape[0], y.shape[1], spectral::frames_per_block);
  for_each_piece(cpu, t, pieces, scratch, [&](long i, float* own) PHONAUT_FORCE_INLINE {
    spectral::analysis_piece<FrameLanes, LaneTransforms>(t, x, frames, y, pieces, i, own);
  });
}

void analysis_backward(const Cpu& cpu, const spectral::Analysis<float>& t, View<const float, 2> x, const long* frames,
                       View<const float, 3> dy, Sink<float, 2> dx, float* scratch) {
  const spectral::Pieces pieces(dx.shape[0], dx.shape[1], spectral::samples_per_block(t));
  for_each_piece(cpu, t, pieces, scratch, [&](long i, float* own) PHONAUT_FORCE_INLINE {
    spectral::analysis_backward_piece<FrameLanes, LaneTransforms>(t, x, frames, dy, dx, pieces, i, own);
  });
}

void synthesis_forward(const Cpu& cpu, const spectral::Synthesis<float>& t, View<const float, 3> x, const long* frames,
                       const long* samples, View<float, 2> y, float* scratch) {
  const spectral::Pieces pieces(y.shape[0], y.shape[1], spectral::samples_per_block(t));
  for_each_piece(cpu, t, pieces, scratch, [&](long i, float* own) PHONAUT_FORCE_INLINE {
    spectral::synthesis_piece<FrameLanes, LaneTransforms>(t, x, frames, samples, y, pieces, i, own);
  });
}

void synthesis_backward(const Cpu& cpu, const spectral::Synthesis<float>& t, View<const float, 3> x, const long* frames,
                        View<const float, 2> dz, Sink<float, 3> dx, float* scratch) {
  const spectral::Pieces pieces(dx.shape[0], dx.shape[1], spectral::frames_per_block);
  for_each_piece(cpu, t, pieces, scratch, [&](long i, float* own) PHONAUT_FORCE_INLINE {
    spectral::synthesis_backward_piece<FrameLanes, LaneTransforms>(t, x, frames, dz, dx, pieces, i, own);
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif

PHONAUT_DISPATCH(analysis_forward,
                 (const Cpu& cpu, const spectral::Analysis<float>& t, View<const float, 2> x, const long* frames,
                  View<float, 3> y, float* scratch),
                 (cpu, t, x, frames, y, scratch))
PHONAUT_DISPATCH(analysis_backward,
                 (const Cpu& cpu, const spectral::Analysis<float>& t, View<const float, 2> x, const long* frames,
                  View<const float, 3> dy, Sink<float, 2> dx, float* scratch),
                 (cpu, t, x, frames, dy, dx, scratch))
PHONAUT_DISPATCH(synthesis_forward,
                 (const Cpu& cpu, const spectral::Synthesis<float>& t, View<const float, 3> x, const long* frames,
                  const long* samples, View<float, 2> y, float* scratch),
                 (cpu, t, x, frames, samples, y, scratch))
PHONAUT_DISPATCH(synthesis_backward,
                 (const Cpu& cpu, const spectral::Synthesis<float>& t, View<const float, 3> x, const long* frames,
                  View<const float, 2> dz, Sink<float, 3> dx, float* scratch),
                 (cpu, t, x, frames, dz, dx, scratch))
