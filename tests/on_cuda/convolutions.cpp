// Convolutions over time on Cuda, as products and by cuDNN, against double precision.
#include <algorithm>
#include <vector>

#include "catch.hpp"
#include "convolution.hpp"
#include "floats.hpp"
#include "no_gpu.hpp"
#include "numbers.hpp"
#include "phonaut/ops/conv1d_products.hpp"
#include "sums.hpp"
#include "way.hpp"
#ifdef PHONAUT_EMULATE_GPU
#include "emulator.hpp"
#include "libraries.hpp"
#endif

using namespace phonaut;
using cuda::ConvolutionWay;
using testing::Floats;
using testing::no_gpu;
using testing::numbers;
using testing::Sums;

namespace {

/// Rows of x hold `spare` frames more than are seen, as they do between utterances.
struct Problem {
  long batch, frames, in, out;  ///< channels of a group
  ConvGrid grid;
  long groups = 1, spare = 0;
  bool by_cudnn = false;         ///< what the shape says of forward and the gradient of x
  bool filter_by_cudnn = false;  ///< and of that of w
};

const std::vector<Problem>& problems() {
  static const std::vector<Problem> all{
      {1, 1, 1, 1, {.taps = 1}},
      {2, 1, 3, 2, {.taps = 3}, 1, 0, true},  // two strips of 3 numbers
      {2, 9, 3, 5, {.taps = 4, .stride = 3}, 1, 2, true},
      {2, 9, 3, 5, {.taps = 3, .stride = 3}, 1, 1},  // rows touch and do not overlap: one product
      {1, 40, 1, 6, {.taps = 10, .stride = 5}, 1, 1, true},
      {3, 11, 4, 6, {.taps = 3, .dilation = 4}, 2, 3, true},
      {2, 13, 5, 3, {.taps = 2, .stride = 2, .dilation = 3}, 3, 1, true},
      {2, 17, 20, 9, {.taps = 3, .stride = 2}, 1, 1},  // two strips of 40
      {1, 33, 32, 16, {.taps = 7}, 1, 0, true},        // seven strips of 32
      {2, 20, 36, 8, {.taps = 4}, 2, 2},               // four of 36
      {2, 5, 3, 4, {.taps = 18}, 1, 0, true, true},    // eighteen
      {2, 0, 3, 2, {.taps = 3}, 1, 3},
  };
  return all;
}

std::string text(const Problem& p) {
  return concat("(", p.batch, ", ", p.frames, ", ", p.in, " -> ", p.out, "), ", p.grid.taps, " taps, stride ",
                p.grid.stride, ", dilation ", p.grid.dilation, ", groups ", p.groups);
}

/// Operands of all passes on the device, and what the passes give in double precision.
struct Operands {
  explicit Operands(const Problem& problem)
      : p(problem),
        seen(std::max((p.frames - 1) * p.grid.stride + p.grid.span(), 0L) + p.spare),
        x(numbers(p.groups * p.batch * seen * p.in, 1)),
        w(numbers(p.groups * p.out * p.grid.taps * p.in, 2)),
        bias(numbers(p.groups * p.out, 3)),
        y(numbers(p.batch * p.frames * p.groups * p.out, 4)) {}

  /// Calls step(x, w, y) with the places of all triples that meet in a sum.
  template <class Step>
  void each(const Step& step) const {
    for (long g = 0; g < p.groups; ++g)
      for (long n = 0; n < p.batch; ++n)
        for (long t = 0; t < p.frames; ++t)
          for (long o = 0; o < p.out; ++o)
            for (long tap = 0; tap < p.grid.taps; ++tap)
              for (long i = 0; i < p.in; ++i) {
                const long frame = t * p.grid.stride + tap * p.grid.dilation;
                step(static_cast<size_t>(((g * p.batch + n) * seen + frame) * p.in + i),
                     static_cast<size_t>(((g * p.out + o) * p.grid.taps + tap) * p.in + i),
                     static_cast<size_t>((n * p.frames + t) * p.groups * p.out + g * p.out + o));
              }
  }
  Shape<4> x_shape() const { return {p.groups, p.batch, seen, p.in}; }
  Shape<3> w_shape() const { return {p.groups * p.out, p.grid.taps, p.in}; }
  Shape<3> y_shape() const { return {p.batch, p.frames, p.groups * p.out}; }

  const Problem& p;
  long seen;
  std::vector<float> x, w, bias, y;
};

struct Errors {
  double forward = 0, data = 0, filter = 0;
};

Errors run(const Problem& p, ConvolutionWay way, Precision precision, bool add, kernel::Activation f) {
  const cuda::Using used(way);
  const Cuda cuda{nullptr, precision};
  const Operands o(p);
  const Floats x(o.x), w(o.w), bias(o.bias), y(o.y);
  View<const float, 4> x_view(x.memory.data(), o.x_shape());
  if (p.batch == 1) x_view.stride[1] = 1;  // as of a long signal whose utterances count as one
  const View<const float, 3> w_view(w.memory.data(), o.w_shape()), y_view(y.memory.data(), o.y_shape());
  const auto value = [](const std::vector<float>& from, size_t at) { return static_cast<double>(from[at]); };
  Errors errors;

  {
    std::vector<float> start = numbers(static_cast<long>(o.y.size()), 5);
    const Floats result(start);
    kernel::conv_products(cuda, p.grid, x_view, w_view, bias.memory.data(),
                          View<float, 3>(result.memory.data(), o.y_shape()), add, f);
    for (size_t i = 0; i < start.size(); ++i) start[i] = (add ? start[i] : 0.f) + o.bias[i % o.bias.size()];
    Sums sums(start);
    o.each([&](size_t at_x, size_t at_w, size_t at_y) { sums.add(at_y, value(o.x, at_x), value(o.w, at_w)); });
    kernel::with_formula(f, [&](auto formula) {
      for (double& v : sums.value) v = formula.value(v);
    });
    errors.forward = sums.error(result.values());
  }
  {
    const std::vector<float> start = numbers(static_cast<long>(o.x.size()), 6);
    const Floats result(start);
    kernel::conv_transposed_products(cuda, p.grid, y_view, w_view, View<float, 4>(result.memory.data(), o.x_shape()));
    Sums sums(start);
    o.each([&](size_t at_x, size_t at_w, size_t at_y) { sums.add(at_x, value(o.y, at_y), value(o.w, at_w)); });
    errors.data = sums.error(result.values());
  }
  {
    std::vector<float> start = numbers(static_cast<long>(o.w.size()), 7);
    const Floats result(start);
    kernel::conv_weight_products(cuda, p.grid, x_view, y_view, Sink<float, 3>(result.memory.data(), o.w_shape(), add));
    if (!add) std::fill(start.begin(), start.end(), 0.f);
    Sums sums(start);
    o.each([&](size_t at_x, size_t at_w, size_t at_y) { sums.add(at_w, value(o.x, at_x), value(o.y, at_y)); });
    errors.filter = sums.error(result.values());
  }
  return errors;
}

/// A sum of up to 300 products in single precision errs by a few roundings of 6e-8, relative to the sizes of its parts.
constexpr double sums = 2e-6;

}  // namespace

TEST_CASE("a convolution on Cuda is the same as products and by cuDNN, in all passes", "[conv]") {
  if (no_gpu()) return;
  for (const Problem& p : problems())
    for (const auto way : {ConvolutionWay::by_shape, ConvolutionWay::products, ConvolutionWay::cudnn})
      for (const auto precision : {Precision::fp32, Precision::tf32, Precision::bf16})
        for (const bool add : {false, true}) {
          INFO(text(p) << ", way " << static_cast<int>(way) << ", in " << name_of(precision) << (add ? ", added" : ""));
          const Errors errors = run(p, way, precision, add, add ? kernel::Activation::none : kernel::Activation::gelu);
          // Two factors, each rounded to 10 or 7 digits behind the first, or cut off there; a slope of up to 1.13.
          const double rounding = precision == Precision::fp32   ? 0
                                  : precision == Precision::tf32 ? 2.26 * 0x1p-10
                                                                 : 2.26 * 0x1p-7;
          CHECK(errors.forward <= rounding + sums);
          CHECK(errors.data <= rounding + sums);
          CHECK(errors.filter <= rounding + sums);
        }
}

#ifdef PHONAUT_EMULATE_GPU
TEST_CASE("the shape of a convolution says who computes it", "[conv]") {
  for (const Problem& p : problems()) {
    INFO(text(p));
    const auto asked = [&](ConvolutionWay way) {
      const long before = emulator::libraries().convolutions;
      run(p, way, Precision::fp32, false, kernel::Activation::none);
      return emulator::libraries().convolutions - before;
    };
    CHECK(asked(ConvolutionWay::by_shape) == p.groups * (2 * p.by_cudnn + p.filter_by_cudnn));
    CHECK(asked(ConvolutionWay::products) == 0);
    CHECK(asked(ConvolutionWay::cudnn) == (p.frames > 0 ? 3 * p.groups : 0));
  }
}

TEST_CASE("convolutions that cuDNN has no engine for are products", "[conv]") {
  struct Restore {
    ~Restore() { emulator::libraries().unknown_convolutions = false; }
  } restore;
  emulator::libraries().unknown_convolutions = true;
  for (const Problem& p : problems()) {
    INFO(text(p));
    const long before = emulator::libraries().convolutions;
    const Errors errors = run(p, ConvolutionWay::cudnn, Precision::fp32, false, kernel::Activation::relu);
    CHECK(emulator::libraries().convolutions == before);
    CHECK(errors.forward <= sums);
    CHECK(errors.data <= sums);
    CHECK(errors.filter <= sums);
  }
}
#endif
