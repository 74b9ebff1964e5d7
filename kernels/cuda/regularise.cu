// Ops whose forward hands x on and whose backward changes the gradient, and slopes that are kept in bytes.
#include "elementwise.cuh"
#include "phonaut/ops/even_weights.hpp"
#include "phonaut/ops/limit_value.hpp"
#include "phonaut/ops/penalize_large.hpp"
#include "phonaut/ops/swoosh_in_bytes.hpp"
#include "reduce.cuh"

namespace phonaut::kernel {

void limit_value_backward(const Cuda& cuda, View<const float, 1> dy, View<const float, 1> x, float least, float most,
                          Sink<float, 1> dx) {
  cuda::map_flat(
      cuda, "limit_value", dx.data, x.size(), dx.add,
      [=] __device__(float g, float v) {
        if (g > 0 && v < least) g = -g;
        if (g < 0 && v > most) g = -g;
        return g;
      },
      dy.data, x.data);
}
void penalize_large_backward(const Cuda& cuda, View<const float, 1> dy, View<const float, 1> x, float limit,
                             float penalty, Sink<float, 1> dx) {
  cuda::map_flat(
      cuda, "penalize_large", dx.data, x.size(), dx.add,
      [=] __device__(float g, float v) {
        return g + (v > limit ? penalty : v < -limit ? -penalty : 0.f);
      },
      dy.data, x.data);
}

void even_weights(const Cuda& cuda, View<const float, 4> x, View<float, 4> y) {
  const long queries = y.shape[2], keys = y.shape[3];
  cuda::for_each_row(cuda, "even_weights", y.shape[0] * queries, keys,
                     [=] __device__(const cuda::Team& team, long row) {
                       const long n = row / queries, t = row % queries;
                       int seen = 0;
                       for (long s = team.rank; s < keys; s += team.size) seen += x(n, 0, t, s) > 0;
                       seen = team.sum(seen);
                       const float share = seen > 0 ? static_cast<float>(1.0 / seen) : 0.f;
                       for (long s = team.rank; s < keys; s += team.size)
                         y(n, 0, t, s) = x(n, 0, t, s) > 0 ? share : 0.f;
                     });
}

void encode_slopes(const Cuda& cuda, View<const float, 1> slopes, Draws draws, std::uint8_t* bytes) {
  const float* from = slopes.data;
  cuda::for_each(cuda, "encode_slopes", slopes.size(),
                 [=] __device__(long i) { bytes[i] = formula::ByteSlope::encode(from[i], draws.uniform(i)); });
}
void multiply_slopes(const Cuda& cuda, View<const float, 1> dy, const std::uint8_t* bytes, float* dx, bool add) {
  const float* g = dy.data;
  cuda::for_each(cuda, "multiply_slopes", dy.size(),
                 [=] __device__(long i) { cuda::put(dx[i], g[i] * formula::ByteSlope::decode<float>(bytes[i]), add); });
}

}  // namespace phonaut::kernel
