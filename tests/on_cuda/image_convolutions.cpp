// Convolutions of images in blocks of several images, and of a few frames of one: on hosts and on Cuda, against double
// precision. How many launches a batch takes.
#include <algorithm>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "floats.hpp"
#include "no_gpu.hpp"
#include "numbers.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/conv2d.hpp"
#include "sums.hpp"
#ifdef PHONAUT_EMULATE_GPU
#include "emulator.hpp"
#include "libraries.hpp"
#endif

using namespace phonaut;
using kernel::PatchBlocks;
using kernel::PatchGeometry;
using testing::FloatsOn;
using testing::no_gpu;
using testing::numbers;
using testing::Sums;

namespace {

struct Problem {
  long batch, time, bands, in, out;
  TimeFrequency kernel;
  Conv2dOptions options;
};

const std::vector<Problem>& problems() {
  static const std::vector<Problem> all{
      {5, 9, 6, 2, 3, {3, 3}, {.padding = {0, 1}}},                                    // 7 frames
      {5, 14, 5, 3, 4, {3, 2}, {.stride = {2, 1}, .padding = {1, 0}}},                 // 7
      {5, 11, 7, 1, 2, {3, 3}, {.stride = {1, 2}, .padding = {2, 1}, .dilation = 4}},  // 7, of taps that lie apart
      {5, 20, 4, 2, 3, {1, 4}, {.stride = {3, 1}}},                                    // 7, which skip some of x
      {1, 9, 6, 2, 3, {3, 3}, {}},
      {5, 3, 3, 2, 3, {3, 3}, {}},  // one place each
      {0, 9, 6, 2, 3, {3, 3}, {}},
  };
  return all;
}

/// Images and frames of a block. Several images have all their frames there.
struct BlockSizes {
  long images, times;
};
std::vector<BlockSizes> block_sizes(long batch, long times) {
  std::vector<BlockSizes> all{{1, 1}, {1, std::min(3L, times)}};
  for (const long images : {1L, 2L, 3L, batch}) all.push_back({std::max(1L, images), times});
  return all;
}

/// Operands, and what reaches which element.
struct Operands {
  explicit Operands(const Problem& problem)
      : p(problem),
        g{p.kernel, p.options.stride, p.options.padding, places().frequency, p.options.dilation},
        x(numbers(element_count(x_shape()), 1)),
        w(numbers(element_count(w_shape()), 2)),
        bias(numbers(p.out, 3)),
        dy(numbers(element_count(y_shape()), 4)) {}

  /// Frames and bands of the result.
  TimeFrequency places() const {
    const auto& o = p.options;
    return {(p.time + 2 * o.padding.time - (p.kernel.time - 1) * o.dilation - 1) / o.stride.time + 1,
            (p.bands + 2 * o.padding.frequency - p.kernel.frequency) / o.stride.frequency + 1};
  }
  Shape<4> x_shape() const { return {p.batch, p.time, p.bands, p.in}; }
  Shape<2> w_shape() const { return {p.out, p.kernel.time * p.kernel.frequency * p.in}; }
  Shape<4> y_shape() const { return {p.batch, places().time, places().frequency, p.out}; }

  /// Calls step(x, w, y) with the places of all triples that meet in a sum.
  template <class Step>
  void each(const Step& step) const {
    const auto [times, bands] = std::pair(places().time, places().frequency);
    for (long n = 0; n < p.batch; ++n)
      for (long t = 0; t < times; ++t)
        for (long f = 0; f < bands; ++f)
          for (long i = 0; i < p.kernel.time; ++i)
            for (long j = 0; j < p.kernel.frequency; ++j) {
              const long frame = t * p.options.stride.time + i * p.options.dilation - p.options.padding.time;
              const long band = f * p.options.stride.frequency + j - p.options.padding.frequency;
              if (frame < 0 || frame >= p.time || band < 0 || band >= p.bands) continue;
              for (long o = 0; o < p.out; ++o)
                for (long c = 0; c < p.in; ++c)
                  step(static_cast<size_t>(((n * p.time + frame) * p.bands + band) * p.in + c),
                       static_cast<size_t>(((o * p.kernel.time + i) * p.kernel.frequency + j) * p.in + c),
                       static_cast<size_t>(((n * times + t) * bands + f) * p.out + o));
            }
  }

  const Problem& p;
  PatchGeometry g;
  std::vector<float> x, w, bias, dy;
};

struct Results {
  std::vector<float> y, dx, dw, dbias;
  bool operator==(const Results&) const = default;
};

/// What is to be set holds NaN before, and what is to be added to `start`; so does the scratch.
template <class B>
Results results(const B& backend, const Operands& o, const BlockSizes& sizes, const Results& start, bool add) {
  PatchBlocks<B> blocks(o.g, o.x_shape(), o.places().time);
  blocks.images = sizes.images;
  blocks.times = sizes.times;
  const auto nan = [](long n) {
    return std::vector<float>(static_cast<size_t>(n), std::numeric_limits<float>::quiet_NaN());
  };
  const Shape<2> rows{blocks.rows(o.g), o.g.width(o.p.in)};
  const auto before = [&](const std::vector<float>& to) { return add ? to : nan(static_cast<long>(to.size())); };
  const FloatsOn<B> x(o.x), w(o.w), bias(o.bias), dy(o.dy), patches(nan(element_count(rows))),
      y(nan(element_count(o.y_shape()))), dx(before(start.dx)), dw(before(start.dw)), dbias(before(start.dbias));
  const View<const float, 4> on_x(x.memory.data(), o.x_shape()), on_dy(dy.memory.data(), o.y_shape());
  const View<const float, 2> on_w(w.memory.data(), o.w_shape());
  const View<float, 2> scratch(patches.memory.data(), rows);
  kernel::conv2d_forward(backend, on_x, on_w, static_cast<const float*>(bias.memory.data()), o.g, blocks, scratch,
                         View<float, 4>(y.memory.data(), o.y_shape()));
  kernel::conv2d_backward(
      backend, on_dy, on_x, on_w, o.g, blocks, scratch, Sink<float, 4>(dx.memory.data(), o.x_shape(), add),
      Sink<float, 2>(dw.memory.data(), o.w_shape(), add), Sink<float, 1>(dbias.memory.data(), {o.p.out}, add));
  return {y.values(), dx.values(), dw.values(), dbias.values()};
}

/// A sum of up to 300 products in single precision errs by a few roundings of 6e-8, relative to the sizes of its parts.
constexpr double sums = 2e-6;

template <class B>
void check(const B& backend) {
  for (const Problem& p : problems())
    for (const bool add : {false, true}) {
      const Operands o(p);
      const Results start{
          {}, numbers(static_cast<long>(o.x.size()), 5), numbers(static_cast<long>(o.w.size()), 6), numbers(p.out, 7)};
      const auto begun = [&](const std::vector<float>& with) {
        return Sums(add ? with : std::vector<float>(with.size(), 0.f));
      };
      std::vector<float> biases(o.dy.size());
      for (size_t i = 0; i < biases.size(); ++i) biases[i] = o.bias[i % o.bias.size()];
      Sums y(biases), dx = begun(start.dx), dw = begun(start.dw), dbias = begun(start.dbias);
      o.each([&](size_t at_x, size_t at_w, size_t at_y) {
        const auto of = [](const std::vector<float>& from, size_t at) { return static_cast<double>(from[at]); };
        y.add(at_y, of(o.x, at_x), of(o.w, at_w));
        dx.add(at_x, of(o.dy, at_y), of(o.w, at_w));
        dw.add(at_w, of(o.dy, at_y), of(o.x, at_x));
      });
      for (size_t i = 0; i < o.dy.size(); ++i) dbias.add(i % o.bias.size(), static_cast<double>(o.dy[i]), 1);
      for (const BlockSizes& sizes : block_sizes(p.batch, o.places().time)) {
        INFO("(" << p.batch << ", " << p.time << ", " << p.bands << ", " << p.in << ") by " << p.out << " filters of "
                 << p.kernel.time << " x " << p.kernel.frequency << ", " << sizes.images << " images and "
                 << sizes.times << " frames in a block" << (add ? ", added" : ""));
        const Results got = results(backend, o, sizes, start, add);
        CHECK(y.error(got.y) <= sums);
        CHECK(dx.error(got.dx) <= sums);
        CHECK(dw.error(got.dw) <= sums);
        CHECK(dbias.error(got.dbias) <= sums);
#ifdef PHONAUT_EMULATE_GPU
        if constexpr (std::is_same_v<B, Cuda>) {
          emulator::set_order(emulator::Order::descending);
          CHECK(results(backend, o, sizes, start, add) == got);
          emulator::set_order(emulator::Order::ascending);
        }
#endif
      }
    }
}

}  // namespace

TEST_CASE("an image's convolution does not depend on what is in its block, on the host", "[conv]") {
  check(Reference{});
  for (const int threads : {1, 2}) check(Cpu{{}, threads, best_isa()});
}

TEST_CASE("an image's convolution does not depend on what is in its block, on Cuda", "[cuda][conv]") {
  if (no_gpu()) return;
  check(Cuda{});
}

TEST_CASE("patches of a block fit a processor's cache, or 64 MiB of a GPU", "[conv]") {
  const auto expect = [](const auto& blocks, long images, long times) {
    CHECK(blocks.images == images);
    CHECK(blocks.times == times);
  };
  // As in a Zipformer's stem: 8 channels, and 39 bands in each frame of the result, which see 3 · 3 · 8 numbers each.
  const PatchGeometry g{{3, 3}, {2, 2}, {0, 0}, 39, 1};
  expect(PatchBlocks<Cpu>(g, {16, 1000, 80, 8}, 499), 1, 46);
  expect(PatchBlocks<Cpu>(g, {16, 20, 80, 8}, 9), 1, 9);
  expect(PatchBlocks<Cuda>(g, {16, 1000, 80, 8}, 499), 11, 499);
  expect(PatchBlocks<Cuda>(g, {2, 1000, 80, 8}, 499), 2, 499);
  expect(PatchBlocks<Cuda>(g, {16, 20000, 80, 8}, 9999), 1, 5974);
  expect(PatchBlocks<Cuda>(g, {0, 20, 80, 8}, 9), 1, 9);
}

#ifdef PHONAUT_EMULATE_GPU
TEST_CASE("a batch of images takes as many launches as one", "[cuda][conv]") {
  const auto calls = [] { return std::pair(emulator::launches(), emulator::libraries().products); };
  const auto since = [&](const std::pair<long, long>& before) {
    const auto now = calls();
    return std::pair(now.first - before.first, now.second - before.second);
  };
  std::vector<std::pair<long, long>> backward;
  for (const long batch : {1L, 7L}) {
    Context<Cuda> ctx;
    ctx.train();
    const auto variable = [&]<size_t R>(const Shape<R>& shape) { return ctx.variable(ctx.full(shape, 0.5f)); };
    const auto x = variable(Shape<4>{batch, 9, 6, 2}), w = variable(Shape<4>{3, 3, 3, 2});
    const auto b = variable(Shape<1>{3});
    auto before = calls();
    const auto y = conv2d(x, w, b);
    CHECK(since(before) == std::pair(1L, 1L));  // patches, and a product of all of them
    const auto loss = sum(y);
    before = calls();
    ctx.backward(loss);
    backward.push_back(since(before));
  }
  CHECK(backward[0].second == 2);
  CHECK(backward[1] == backward[0]);
}
#endif
