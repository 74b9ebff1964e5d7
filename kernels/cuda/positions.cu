#include "phonaut/ops/positions.hpp"

#include "elementwise.cuh"
#include "phonaut/ops/compact_positions.hpp"

namespace phonaut::kernel {

void position_angles(const Cuda& cuda, double base, long first, View<float, 2> cosine, View<float, 2> sine) {
  const long pairs = cosine.shape[1];
  cuda::for_each_at(cuda, "position_angles", cosine.shape[0], pairs, [=] __device__(long t, long i) {
    const double turn = ::pow(base, -static_cast<double>(i) / static_cast<double>(pairs));
    const double angle = static_cast<double>(first + t) * turn;
    cosine.row(t)[i] = static_cast<float>(::cos(angle));
    sine.row(t)[i] = static_cast<float>(::sin(angle));
  });
}

void rotate(const Cuda& cuda, View<const float, 3> x, View<const float, 2> cosine, View<const float, 2> sine,
            float sign, View<float, 3> y, bool add) {
  const long pairs = cosine.shape[1], time = x.shape[1];
  const long heads = pairs > 0 ? x.shape[2] / (2 * pairs) : 0;
  cuda::for_each_at(cuda, "rotate", x.shape[0] * time, heads * pairs, [=] __device__(long row, long i) {
    const long n = row / time, t = row % time, pair = i % pairs, at = i / pairs * 2 * pairs + pair;
    const float a = x(n, t, at), b = x(n, t, at + pairs), c = cosine.row(t)[pair], s = sign * sine.row(t)[pair];
    cuda::put(y(n, t, at), a * c - b * s, add);
    cuda::put(y(n, t, at + pairs), a * s + b * c, add);
  });
}

void compact_positions(const Cuda& cuda, long zero, View<float, 2> y) {
  const long width = y.shape[1];
  const double root = std::sqrt(static_cast<double>(width)),
               per_turn = 6.283185307179586476925 / static_cast<double>(width);
  cuda::for_each_at(cuda, "compact_positions", y.shape[0], width, [=] __device__(long j, long k) {
    const auto offset = static_cast<double>(j - zero);
    const double z = ::copysign(root * ::log1p(::fabs(offset) / root), offset);
    const double angle = ::atan(per_turn * z) * static_cast<double>(k / 2 + 1);
    y(j, k) = k == width - 1 ? 1.f : static_cast<float>(k % 2 == 0 ? ::cos(angle) : ::sin(angle));
  });
}

}  // namespace phonaut::kernel
