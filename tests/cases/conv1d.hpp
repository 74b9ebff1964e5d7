#include "case.hpp"
#include "phonaut/ops/conv_transpose1d.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

struct ConvSize {
  long batch, time, in, out;
  ConvGrid grid;
  long groups = 1;
  std::vector<long> lengths = {};
};

std::string name_of(const ConvSize& s) {
  const ConvGrid& g = s.grid;
  return concat(text(Shape<3>{s.batch, s.time, s.in}), " to ", s.out, ", taps ", g.taps, " stride ", g.stride,
                " dilation ", g.dilation, " pad ", g.before, "+", g.after, " groups ", s.groups,
                s.lengths.empty() ? "" : ", lengths");
}
auto with_lengths(const auto& x, const std::vector<long>& lengths) {
  using B = typename std::remove_cvref_t<decltype(x)>::Backend;
  return lengths.empty() ? Sequence<B>{x, {}, 0} : sequence_of(x, lengths);
}

// Sums of taps · in / groups products (forward), or of frames (gradient of the weight), which cancel to about the
// square root of their number: the rounding of the longest sum here stays below 64 units of the largest result.
CASES(conv1d) {
  for (const ConvSize& s :
       {ConvSize{1, 1, 1, 1, {.taps = 1}}, ConvSize{2, 9, 3, 4, {.taps = 3}},
        ConvSize{2, 12, 4, 5, {.taps = 3, .stride = 2}}, ConvSize{3, 11, 1, 6, {.taps = 5, .stride = 3}},
        ConvSize{2, 7, 4, 6, {.taps = 3, .dilation = 2, .before = 4}, 2, {7, 3}},
        ConvSize{2, 8, 6, 6, {.taps = 5, .stride = 2, .before = 2, .after = 2}, 3, {5, 8}},
        ConvSize{2, 7, 3, 2, {.taps = 2, .stride = 4, .before = 1, .after = 3}, 1, {7, 0}},
        ConvSize{2, 0, 3, 2, {.taps = 3, .before = 1, .after = 1}}, ConvSize{1, 2, 3, 2, {.taps = 5}},
        ConvSize{2, 5, 3, 2, {.taps = 3, .stride = 2, .dilation = 2, .before = 3, .after = 1}},
        ConvSize{1, 3000, 80, 192, {.taps = 3, .stride = 2, .before = 1, .after = 1}},
        ConvSize{1, 3199, 512, 512, {.taps = 3, .stride = 2}},
        ConvSize{1, 500, 768, 768, {.taps = 128, .before = 64, .after = 63}, 16}}) {
    const long width = s.in / s.groups;
    const double frames = static_cast<double>(s.batch * s.grid.frames_out(s.time));
    add(name_of(s),
        inputs(normal(Shape<3>{s.batch, s.time, s.in}, 1), normal(Shape<3>{s.out, s.grid.taps, width}, 2),
               normal(Shape<1>{s.out}, 3)),
        [=](const auto& x, const auto& w, const auto& b) {
          return conv1d(with_lengths(x, s.lengths), w, b, s.grid, s.groups).frames;
        },
        {.tolerance = 16 * eps,
         .flops = 2.0 * frames * static_cast<double>(s.out * s.grid.taps * width),
         .check = s.time < 100});
  }
}

CASES(conv_transpose1d) {
  for (const ConvSize& s :
       {ConvSize{1, 1, 1, 1, {.taps = 1}}, ConvSize{2, 5, 3, 4, {.taps = 4, .stride = 2, .before = 1, .after = 1}},
        ConvSize{2, 5, 4, 6, {.taps = 3, .stride = 2, .after = 1}, 2, {5, 2}},
        ConvSize{2, 4, 3, 2, {.taps = 2, .stride = 3}, 1, {4, 0}}, ConvSize{1, 5, 2, 3, {.taps = 3, .dilation = 2}},
        ConvSize{2, 0, 3, 2, {.taps = 3, .stride = 2}},
        ConvSize{1, 300, 256, 128, {.taps = 16, .stride = 8, .before = 4, .after = 4}}}) {
    const long width = s.out / s.groups;
    add(name_of(s),
        inputs(normal(Shape<3>{s.batch, s.time, s.in}, 1), normal(Shape<3>{s.in, s.grid.taps, width}, 2),
               normal(Shape<1>{s.out}, 3)),
        [=](const auto& x, const auto& w, const auto& b) {
          return conv_transpose1d(with_lengths(x, s.lengths), w, b, s.grid, s.groups).frames;
        },
        {.tolerance = 16 * eps,
         .flops = 2.0 * static_cast<double>(s.batch * s.time * s.in * s.grid.taps * width),
         .check = s.time < 100});
  }
}

}  // namespace
