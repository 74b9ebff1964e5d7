// Codes of the scalar quantizers, and what all quantizers do with codes.
#include "elementwise.cuh"
#include "phonaut/quantizers/codes.hpp"
#include "phonaut/quantizers/fsq.hpp"
#include "phonaut/quantizers/gumbel.hpp"
#include "phonaut/quantizers/rotation_trick.hpp"
#include "phonaut/quantizers/sign_codes.hpp"
#include "reduce.cuh"

namespace phonaut::kernel {

namespace {

__device__ __forceinline__ float fsq_bounded(const FsqGrid& g, long c, float z) {
  return math::tanh(z + static_cast<float>(g.shift[c])) * static_cast<float>(g.half[c]) -
         static_cast<float>(g.offset[c]);
}

}  // namespace

void fsq_bound_forward(const Cuda& cuda, const FsqGrid& levels, View<const float, 2> z, View<float, 2> b) {
  const FsqGrid g = levels;
  cuda::for_each_at(cuda, "fsq", z.shape[0], z.shape[1],
                    [=] __device__(long r, long c) { b.row(r)[c] = fsq_bounded(g, c, z.row(r)[c]); });
}
void fsq_bound_backward(const Cuda& cuda, const FsqGrid& levels, bool of_codes, View<const float, 2> db,
                        View<const float, 2> z, Sink<float, 2> dz) {
  const FsqGrid g = levels;
  cuda::for_each_at(cuda, "fsq", z.shape[0], z.shape[1], [=] __device__(long r, long c) {
    const float t = math::tanh(z.row(r)[c] + static_cast<float>(g.shift[c]));
    const auto scale = static_cast<float>(g.half[c] / (of_codes ? static_cast<double>(g.width(c)) : 1));
    cuda::put(dz.row(r)[c], db.row(r)[c] * scale * (1 - t * t), dz.add);
  });
}
void fsq_codes(const Cuda& cuda, const FsqGrid& levels, View<const float, 2> z, View<float, 2> value,
               std::int32_t* index) {
  const FsqGrid g = levels;
  cuda::for_each(cuda, "fsq", z.shape[0], [=] __device__(long r) {
    long code = 0, base = 1;
    for (long c = 0; c < g.channels; ++c) {
      const long level = g.level(c, static_cast<double>(fsq_bounded(g, c, z.row(r)[c]))), width = g.width(c);
      if (value) value.row(r)[c] = static_cast<float>(static_cast<double>(level - width) / static_cast<double>(width));
      code += level * base;
      base *= g.count[c];
    }
    index[r] = static_cast<std::int32_t>(code);
  });
}
void fsq_values(const Cuda& cuda, const FsqGrid& levels, const std::int32_t* index, View<float, 2> value) {
  const FsqGrid g = levels;
  cuda::for_each(cuda, "fsq", value.shape[0], [=] __device__(long r) {
    long rest = index[r];
    for (long c = 0; c < g.channels; ++c) {
      const long width = g.width(c);
      value.row(r)[c] =
          index[r] < 0
              ? 0.f
              : static_cast<float>(static_cast<double>(rest % g.count[c] - width) / static_cast<double>(width));
      rest /= g.count[c];
    }
  });
}

void sign_round(const Cuda& cuda, float magnitude, View<const float, 2> x, View<float, 2> value, std::int32_t* index) {
  cuda::for_each(cuda, "sign_round", x.shape[0], [=] __device__(long r) {
    std::int32_t code = 0;
    for (long c = 0; c < x.shape[1]; ++c) {
      const bool up = x.row(r)[c] > 0;
      if (value) value.row(r)[c] = up ? magnitude : -magnitude;
      code = 2 * code + up;
    }
    index[r] = code;
  });
}
void sign_values(const Cuda& cuda, float magnitude, const std::int32_t* index, View<float, 2> value) {
  const long bits = value.shape[1];
  cuda::for_each_at(cuda, "sign_values", value.shape[0], bits, [=] __device__(long r, long c) {
    value.row(r)[c] = index[r] < 0 ? 0.f : index[r] >> (bits - 1 - c) & 1 ? magnitude : -magnitude;
  });
}

void put_level(const Cuda& cuda, const std::int32_t* from, const std::int32_t* rows, long count, long level,
               View<std::int32_t, 2> codes) {
  cuda::for_each(cuda, "put_level", count, [=] __device__(long i) {
    codes.row(rows ? rows[i] : i)[level] = from ? from[i] : std::int32_t{no_code};
  });
}
void take_level(const Cuda& cuda, View<const std::int32_t, 2> codes, long level, std::int32_t* to) {
  cuda::for_each(cuda, "take_level", codes.shape[0], [=] __device__(long i) { to[i] = codes.row(i)[level]; });
}
void look_up(const Cuda& cuda, View<const float, 2> table, const std::int32_t* code, bool add, View<float, 2> y) {
  cuda::for_each_at(cuda, "look_up", y.shape[0], y.shape[1], [=] __device__(long i, long d) {
    cuda::put(y.row(i)[d], code[i] < 0 ? 0.f : table.row(code[i])[d], add);
  });
}
void subtract_entries(const Cuda& cuda, View<const float, 2> x, View<const float, 2> table, const std::int32_t* code,
                      View<float, 2> y) {
  cuda::for_each_at(cuda, "subtract_entries", y.shape[0], y.shape[1],
                    [=] __device__(long i, long d) { y.row(i)[d] = x.row(i)[d] - table.row(code[i])[d]; });
}

namespace {

struct Choice {
  float value;
  int at;
};
struct FirstLargest {
  __device__ __forceinline__ Choice operator()(const Choice& a, const Choice& b) const {
    if (b.value > a.value) return b;
    if (a.value > b.value) return a;
    return a.at < b.at ? a : b;
  }
};

}  // namespace

void choose_largest(const Cuda& cuda, View<const float, 2> x, View<float, 2> onehot, std::int32_t* code) {
  const long classes = x.shape[1];
  cuda::for_each_row(cuda, "choose_largest", x.shape[0], classes, [=] __device__(const cuda::Team& team, long r) {
    Choice best{-INFINITY, 0};
    for (long v = team.rank; v < classes; v += team.size)
      if (x.row(r)[v] > best.value) best = {x.row(r)[v], static_cast<int>(v)};
    best = team.reduce(best, FirstLargest{});
    if (team.rank == 0) code[r] = best.at;
    if (onehot)
      for (long v = team.rank; v < classes; v += team.size) onehot.row(r)[v] = v == best.at ? 1.f : 0.f;
  });
}

void rotate_back(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> e, View<const float, 2> q,
                 Sink<float, 2> de) {
  const long width = e.shape[1];
  cuda::for_each_row(cuda, "rotate_back", e.shape[0], width, [=] __device__(const cuda::Team& team, long n) {
    const auto wide = [](float v) { return static_cast<double>(v); };
    cuda::Sums<2> squares{};
    for (long d = team.rank; d < width; d += team.size)
      squares = squares + cuda::Sums<2>{{wide(e.row(n)[d]) * wide(e.row(n)[d]), wide(q.row(n)[d]) * wide(q.row(n)[d])}};
    squares = team.sum(squares);
    constexpr double least = 1e-6;
    const auto norm = [&](double square) { return square > least * least ? math::sqrt(square) : least; };
    const double norm_e = norm(squares.of[0]), norm_q = norm(squares.of[1]);
    const auto u = [&](long d) { return wide(e.row(n)[d]) / norm_e; };
    const auto v = [&](long d) { return wide(q.row(n)[d]) / norm_q; };
    cuda::Sums<3> along{};
    for (long d = team.rank; d < width; d += team.size) {
      const double both = u(d) + v(d), g = wide(dy.row(n)[d]);
      along = along + cuda::Sums<3>{{both * both, both * g, v(d) * g}};
    }
    along = team.sum(along);
    const bool opposite = !(along.of[0] > least * least);
    for (long d = team.rank; d < width; d += team.size) {
      double g = wide(dy.row(n)[d]);
      if (!opposite) g += 2 * along.of[2] * u(d) - 2 * along.of[1] / along.of[0] * (u(d) + v(d));
      cuda::put(de.row(n)[d], static_cast<float>(norm_q / norm_e * g), de.add);
    }
  });
}

}  // namespace phonaut::kernel
