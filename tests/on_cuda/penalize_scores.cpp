// The penalty on large attention scores on Cuda, all heads and utterances at once, against the walk over heads in
// double precision.
#include "phonaut/ops/penalize_scores.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "catch.hpp"
#include "floats.hpp"
#include "graph_support.hpp"
#include "phonaut/core/cuda_graph.hpp"
#include "phonaut/core/cuda_stream.hpp"
#include "phonaut/ops/arithmetic.hpp"
#ifdef PHONAUT_EMULATE_GPU
#include "emulator.hpp"
#include "libraries.hpp"
#endif

using namespace phonaut;
using testing::Floats;
using testing::no_gpu;
using testing::numbers;
using testing::relative_error;

namespace {

constexpr double penalty = 0.3;

struct Problem {
  long batch, time, heads, query, position;
  std::vector<long> lengths;
  Padding padding = Padding::masked;
  bool relative = true;

  long width() const { return heads * (2 * query + position); }
  Shape<3> frames() const { return {batch, time, width()}; }
  Shape<2> places() const { return {std::max(0L, 2 * time - 1), heads * position}; }
  /// Chunks hide scores from the softmax, not from the penalty.
  RelativeAttentionOptions options() const {
    return {.heads = heads,
            .query_width = query,
            .position_width = position,
            .chunk = 2,
            .left_chunks = 1,
            .padding = padding};
  }
  /// How many frames of utterance n are looked at.
  long real(long n) const { return padding == Padding::masked ? lengths[static_cast<size_t>(n)] : time; }
};

std::vector<Problem> problems() {
  std::vector<Problem> all;
  for (const Padding padding : {Padding::masked, Padding::reference})
    for (const bool relative : {true, false}) {
      all.push_back({1, 1, 1, 1, 1, {1}, padding, relative});
      all.push_back({2, 1, 3, 2, 4, {1, 0}, padding, relative});
      all.push_back({5, 7, 2, 3, 2, {7, 0, 4, 1, 6}, padding, relative});
      all.push_back({3, 33, 2, 70, 5, {1, 33, 20}, padding, relative});   // more channels than pass at once
      all.push_back({2, 261, 1, 5, 3, {261, 259}, padding, relative});    // more keys than a block has threads
      all.push_back({3, 17, 4, 8, 4, {17, 17, 17}, padding, relative});   // nothing is padded
      all.push_back({4, 10, 1, 4, 9, {0, 0, 10, 0}, padding, relative});  // and hardly anything else
    }
  return all;
}

std::string text(const Problem& p) {
  std::string lengths;
  for (const long length : p.lengths) lengths += concat(lengths.empty() ? "" : ", ", length);
  return concat(p.heads, " heads of width ", p.query, " and ", p.position, ", ", p.time, " frames, lengths ", lengths,
                p.padding == Padding::masked ? ", masked" : "", p.relative ? "" : ", content alone");
}

/// What goes in and what has been added up before, and a limit that lies between the scores, some above and some below,
/// so far from any that rounding moves none across.
struct Numbers {
  const Problem& p;
  std::vector<float> x = numbers(element_count(p.frames()), 1), r = numbers(element_count(p.places()), 2),
                     dx = numbers(element_count(p.frames()), 3), dr = numbers(element_count(p.places()), 4);
  double limit = 0;

  explicit Numbers(const Problem& problem) : p(problem) {
    std::vector<double> sizes{0};
    for (long n = 0; n < p.batch; ++n)
      for (long h = 0; h < p.heads; ++h)
        for (long t = 0; t < p.real(n); ++t)
          for (long s = 0; s < p.real(n); ++s) sizes.push_back(std::fabs(score(n, h, t, s)));
    std::sort(sizes.begin(), sizes.end());
    double widest = 0;
    for (size_t i = sizes.size() / 4; i + 1 < std::max<size_t>(2, sizes.size() * 3 / 4); ++i)
      if (const double gap = sizes[i + 1] - sizes[i]; gap > widest) {
        widest = gap;
        limit = sizes[i] + gap / 2;
      }
    REQUIRE(widest > 1e-4);  // scores of up to 75 products, of a size of 10, in float
  }

 private:
  double score(long n, long h, long t, long s) const {
    const auto at = [&](long frame, long c) {
      return static_cast<double>(x[static_cast<size_t>((n * p.time + frame) * p.width() + c)]);
    };
    double sum = 0;
    for (long c = 0; c < p.query; ++c) sum += at(t, h * p.query + c) * at(s, (p.heads + h) * p.query + c);
    for (long c = h * p.position; p.relative && c < (h + 1) * p.position; ++c)
      sum += at(t, 2 * p.heads * p.query + c) *
             static_cast<double>(r[static_cast<size_t>((p.time - 1 - t + s) * p.heads * p.position + c)]);
    return sum;
  }
};

/// The gradients of frames and of relative positions.
struct Gradient {
  std::vector<float> x, r;
  bool operator==(const Gradient&) const = default;
};

enum class PositionsUsed { before, after, never };

/// By the op. Where positions are used once more, before or after the penalty is recorded, their other gradient comes
/// after it or before it.
template <class B>
Gradient by_op(Context<B>& ctx, const Numbers& in, PositionsUsed used) {
  const Problem& p = in.p;
  ctx.poison(true);
  ctx.set_recording(true);
  const auto x = ctx.variable(input(ctx, p.frames(), in.x).tensor());
  Var<B, 2> r;
  Var<B, 0> loss = ctx.constant(ctx.zeros(Shape<0>{}));
  if (p.relative) r = ctx.variable(input(ctx, p.places(), in.r).tensor());
  const auto use = [&] {
    if (r) loss = loss + sum(input(ctx, p.places(), in.dr) * r);
  };
  if (used == PositionsUsed::before) use();
  const auto y = penalize_scores(sequence_of(x, p.lengths), r, p.options(), in.limit, penalty);
  CHECK(y.frames.tensor().data() == x.tensor().data());
  loss = loss + sum(input(ctx, p.frames(), in.dx) * y.frames);
  if (used == PositionsUsed::after) use();
  const auto gradients = ctx.backward(loss);
  const auto floats = [](const auto& values) { return std::vector<float>(values.begin(), values.end()); };
  return {floats(values_of(ctx, gradients[x])), r ? floats(values_of(ctx, gradients[r])) : std::vector<float>()};
}

/// By the kernel, `together` utterances at a time, all of frames that have gaps between them. The gradient of positions
/// is added to what is there, or set.
Gradient by_kernel(const Numbers& in, long together, bool add) {
  const Problem& p = in.p;
  const long gap = 3, row = p.width() + gap, count = p.batch * p.time;
  const auto spread = [&](const std::vector<float>& packed) {
    std::vector<float> rows(static_cast<size_t>(count * row), 9.f);
    for (long i = 0; i < count; ++i) std::copy_n(packed.begin() + i * p.width(), p.width(), rows.begin() + i * row);
    return rows;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto spoiled = [&](long n) { return std::vector<float>(static_cast<size_t>(n), nan); };
  const Floats x(spread(in.x)), dx(spread(in.dx)), r(in.r), dr(add ? in.dr : spoiled(element_count(p.places()))),
      scores(spoiled(together * p.heads * p.time * p.time));
  const Shape<3> strides{p.time * row, row, 1};
  auto parts = detail::query_key_position(View<const float, 3>(x.memory.data(), p.frames(), strides), p.options());
  auto to = detail::query_key_position(View<float, 3>(dx.memory.data(), p.frames(), strides), p.options());
  if (!p.relative) parts[2].shape[2] = 0;
  const kernel::AttentionSpan span{.lengths = p.padding == Padding::masked ? p.lengths.data() : nullptr};
  kernel::penalize_scores_backward(
      Cuda{},
      {p.heads, span, parts[0], parts[1], parts[2],
       p.relative ? View<const float, 2>(r.memory.data(), p.places()) : View<const float, 2>()},
      static_cast<float>(in.limit), static_cast<float>(penalty),
      View<float, 4>(scores.memory.data(), {together, p.heads, p.time, p.time}), {to[0], true}, {to[1], true},
      {to[2], true}, p.relative ? Sink<float, 2>(dr.memory.data(), p.places(), add) : Sink<float, 2>());
  Gradient found;
  const auto rows = dx.values();
  for (long i = 0; i < count; ++i) {
    found.x.insert(found.x.end(), rows.begin() + i * row, rows.begin() + i * row + p.width());
    for (long c = p.width(); c < row; ++c) CHECK(rows[static_cast<size_t>(i * row + c)] == 9.f);
  }
  if (p.relative) found.r = dr.values();
  return found;
}

/// Sums of up to 261 penalties times a number, a rounding of 6e-8 for each of the larger parts.
void check_near(const Gradient& got, const Gradient& want) {
  CHECK(relative_error(got.x, want.x) < 1e-6);
  REQUIRE(got.r.size() == want.r.size());
  if (!want.r.empty()) CHECK(relative_error(got.r, want.r) < 1e-6);
}

}  // namespace

TEST_CASE("the penalty on scores on Cuda is that of the formula in double", "[rules]") {
  if (no_gpu()) return;
  for (const Problem& p : problems()) {
    INFO(text(p));
    const Numbers in(p);
    for (const auto used : {PositionsUsed::before, PositionsUsed::after, PositionsUsed::never}) {
      Context<Reference64> exact;
      Context<Cuda> ctx;
      const Gradient want = by_op(exact, in, used), got = by_op(ctx, in, used);
      CHECK(want.x != in.dx);
      check_near(got, want);
#ifdef PHONAUT_EMULATE_GPU
      emulator::set_order(emulator::Order::descending);
#endif
      CHECK(by_op(ctx, in, used) == got);
#ifdef PHONAUT_EMULATE_GPU
      emulator::set_order(emulator::Order::ascending);
#endif
      for (long together = 1; together <= p.batch; ++together) {
        INFO(together << " utterances together");
        const bool add = used != PositionsUsed::never;
        const Gradient in_blocks = by_kernel(in, together, add);
        check_near(in_blocks, want);
        CHECK(by_kernel(in, together, add) == in_blocks);
      }
    }
  }
}

TEST_CASE("a batch of no utterances adds nothing to the gradient of positions", "[rules]") {
  if (no_gpu()) return;
  Context<Cuda> ctx;
  ctx.poison(true);
  ctx.set_recording(true);
  const auto x = ctx.variable(ctx.empty(Shape<3>{0, 3, 8}));
  const auto r = ctx.variable(ctx.zeros(Shape<2>{5, 4}));
  const auto other = sum(r);
  const auto y = penalize_scores(Sequence<Cuda>{x, {}, 0}, r, {.heads = 2, .query_width = 1, .position_width = 2});
  const auto gradients = ctx.backward(other + sum(y.frames));
  CHECK(values_of(ctx, gradients[r]) == std::vector<float>(20, 1.f));
}

TEST_CASE("scores of several utterances are looked at together on a GPU", "[rules]") {
  const long scores = 4 * 400 * 400;  // 2.4 MiB
  CHECK(kernel::utterances_together<Cuda>(16, scores) == 16);
  CHECK(kernel::utterances_together<Cuda>(100, scores) == 26);
  CHECK(kernel::utterances_together<Cuda>(3, 1L << 30) == 1);
  CHECK(kernel::utterances_together<Cuda>(0, scores) == 1);
  CHECK(kernel::utterances_together<Reference>(16, 1) == 1);
}

TEST_CASE("a graph repeats the penalty on scores that change", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  const Problem p{3, 9, 2, 3, 2, {9, 0, 5}};
  Context<Cuda> ctx(stream.backend(), 7), eager(stream.backend(), 7);
  const auto x = testing::tensor(ctx, p.frames(), 1);
  const auto r = testing::tensor(ctx, p.places(), 2);
  struct Found {
    Var<Cuda, 3> x;
    Var<Cuda, 2> r;
    Gradients<Cuda> gradients;
  };
  const auto run = [&](Context<Cuda>& c) {
    c.train();
    Found f{c.variable(x), c.variable(r), {}};
    f.gradients = c.backward(sum(penalize_scores(sequence_of(f.x, p.lengths), f.r, p.options(), 2, penalty).frames));
    return f;
  };
  Found found;
  const auto graph = CudaGraph::capture(ctx, [&] { found = run(ctx); });
  std::vector<std::vector<float>> all;
  for (unsigned step = 0; step < 3; ++step) {
    refill(ctx, x, numbers(x.size(), 10 + step));
    refill(ctx, r, numbers(r.size(), 20 + step));
    graph.launch();
    const Found want = run(eager);
    all.push_back(values_of(ctx, found.gradients[found.x]));
    CHECK(all.back() == values_of(eager, want.gradients[want.x]));
    CHECK(values_of(ctx, found.gradients[found.r]) == values_of(eager, want.gradients[want.r]));
  }
  CHECK(all[0] != all[1]);
}

#ifdef PHONAUT_EMULATE_GPU
TEST_CASE("the penalty on scores takes a few launches, however many there are", "[rules]") {
  const auto calls = [] { return emulator::launches() + emulator::libraries().products; };
  std::vector<long> taken;
  for (const Problem& p : {Problem{2, 5, 1, 2, 4, {5, 3}}, Problem{4, 131, 3, 2, 4, {131, 0, 90, 1}}}) {
    Context<Cuda> ctx;
    ctx.train();
    const auto x = testing::tensor(ctx, p.frames(), 1);
    const auto r = testing::tensor(ctx, p.places(), 2);
    const auto y = penalize_scores(sequence_of(ctx.variable(x), p.lengths), ctx.variable(r), p.options(), 2);
    const auto loss = sum(y.frames);
    const long before = calls();
    ctx.backward(loss);
    taken.push_back(calls() - before);
  }
  CHECK(taken[0] == taken[1]);
  // Lengths, scores, queries, keys, positional queries and two of positions; and a few of the sum's gradient.
  CHECK(taken[0] <= 7 + 4);
}
#endif
