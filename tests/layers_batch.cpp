// A batch equals its utterances, and results do not depend on the number of threads.
#include <cmath>

#include "catch.hpp"
#include "phonaut/core/visit.hpp"
#include "phonaut/layers/conv1d.hpp"
#include "phonaut/layers/transformer.hpp"
#include "phonaut/ops/frame_rate.hpp"
#include "phonaut/ops/mask_frames.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using phonaut::testing::normal;

namespace {

constexpr long kChannels = 6;

/// The frames of utterance n that a batch really has.
std::vector<float> frames_of(const Tensor<Cpu, 3>& frames, long n, long length) {
  const auto values = to_vector(frames);
  const long each = frames.extent(1) * frames.extent(2);
  const auto begin = values.begin() + n * each;
  return {begin, begin + length * frames.extent(2)};
}

/// Equal up to the order of additions: the matrix product takes other paths for few rows than for many, so an utterance
/// alone is summed in another order than inside a batch. A few roundings of sums of up to a hundred terms of size 1;
/// a padded frame that leaks in is of size 1000.
bool close(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!(std::fabs(a[i] - b[i]) <= 4e-6f * (1 + std::fabs(b[i])))) return false;
  return true;
}

/// `layer` gives each utterance of a padded batch what it gives the utterance alone, forward and backward, whatever
/// stands in the padded tail.
template <class Layer>
void check_batch(const Layer& layer) {
  const std::vector<long> lengths{13, 1, 0, 8};
  const long time = 13, batch = static_cast<long>(lengths.size());
  const auto values = normal(Shape<3>{batch, time, kChannels}, 1).data;
  const auto weight = [](long n, long t, long c) {  // some cotangent, the same for the batch and the utterance
    return std::sin(static_cast<double>(1 + n + 3 * t + 7 * c));
  };
  struct Result {
    Tensor<Cpu, 3> y, dx;
    std::vector<long> lengths;
  };
  const auto run = [&](const Shape<3>& shape, const std::vector<double>& data, const std::vector<long>& counts,
                       long first) {
    Context<Cpu> ctx;
    ctx.set_recording(true);
    const auto x = ctx.variable(input(ctx, shape, data).tensor());
    const auto y = layer(sequence_of(x, counts));
    std::vector<double> cotangent(static_cast<size_t>(y.frames.size()), 0.0);
    Result result{y.frames.tensor(), {}, {}};
    for (long n = 0; n < y.batch(); ++n) {
      result.lengths.push_back(y.length(n));
      for (long t = 0; t < y.length(n); ++t)
        for (long c = 0; c < y.channels(); ++c)
          cotangent[static_cast<size_t>((n * y.time() + t) * y.channels() + c)] = weight(first + n, t, c);
    }
    result.dx = ctx.zeros(shape);
    if (y.frames.size() == 0 || x.size() == 0) return result;  // nothing to differentiate
    const auto gradients = ctx.backward(sum(input(ctx, y.frames.shape(), cotangent) * y.frames));
    result.dx = gradients[x];
    return result;
  };
  auto padded = values;
  for (long n = 0; n < batch; ++n)
    for (long t = lengths[static_cast<size_t>(n)]; t < time; ++t)
      for (long c = 0; c < kChannels; ++c) padded[static_cast<size_t>((n * time + t) * kChannels + c)] = 1000;
  const Result together = run({batch, time, kChannels}, padded, lengths, 0);
  for (long n = 0; n < batch; ++n) {
    const long length = lengths[static_cast<size_t>(n)];
    const auto begin = values.begin() + n * time * kChannels;
    const Result alone = run({1, length, kChannels}, {begin, begin + length * kChannels}, {length}, n);
    INFO("utterance " << n << " of " << length << " frames");
    const long out = alone.lengths[0];
    CHECK(together.lengths[static_cast<size_t>(n)] == out);
    CHECK(close(frames_of(together.y, n, out), frames_of(alone.y, 0, out)));
    CHECK(close(frames_of(together.dx, n, length), frames_of(alone.dx, 0, length)));
  }
}

/// Everything whose kernels use threads.
struct Net {
  Conv1d<Cpu> conv;
  GroupNorm<Cpu> norm;
  Transformer<Cpu> transformer;
  ConvTranspose1d<Cpu> up;
  explicit Net(Context<Cpu>& ctx)
      : conv(ctx, {.in = 40, .out = 64, .taps = 5, .stride = 2, .padding = ConvPadding::centred()}),
        norm(ctx, {.dim = 64, .groups = 4}),
        transformer(ctx, {.dim = 64, .layers = 1, .heads = 4, .hidden = 128, .dropout = 0.1}),
        up(ctx, {.in = 64, .out = 16, .taps = 4, .stride = 2, .before = 1, .after = 1}) {}
  static void visit(auto& self, auto&& f) {
    f("conv", self.conv);
    f("norm", self.norm);
    f("transformer", self.transformer);
    f("up", self.up);
  }
};

}  // namespace

TEST_CASE("a batch equals its utterances", "[layers]") {
  Context<Cpu> ctx;
  SECTION("convolutions") {
    for (const auto& padding :
         {ConvPadding::none(), ConvPadding::causal(), ConvPadding::centred(), ConvPadding::ends(1, 2)})
      for (long stride : {1L, 2L, 3L})
        for (long dilation : {1L, 2L})
          for (long groups : {1L, 3L})
            check_batch(Conv1d<Cpu>(ctx, {.in = kChannels,
                                          .out = 9,
                                          .taps = 4,
                                          .stride = stride,
                                          .dilation = dilation,
                                          .groups = groups,
                                          .padding = padding}));
  }
  SECTION("transposed convolutions") {
    for (long taps : {2L, 5L})
      for (long cut : {0L, 1L})
        check_batch(ConvTranspose1d<Cpu>(
            ctx, {.in = kChannels, .out = 4, .taps = taps, .stride = 2, .before = cut, .after = cut}));
  }
  SECTION("norms over time") { check_batch(GroupNorm<Cpu>(ctx, {.dim = kChannels, .groups = 3})); }
  SECTION("frame rates") {
    check_batch([](const Sequence<Cpu>& x) { return average_frames(x, 3); });
    check_batch([](const Sequence<Cpu>& x) { return repeat_frames(x, 2); });
    check_batch([](const Sequence<Cpu>& x) { return mask_frames(x, 1); });
  }
  SECTION("attention") {
    for (bool causal : {false, true})
      check_batch(SelfAttention<Cpu>(ctx, {.dim = kChannels, .heads = 3, .causal = causal, .rotary = true}));
  }
  SECTION("Transformer") {
    for (Positions positions : {Positions::none, Positions::sinusoidal, Positions::rotary})
      check_batch(
          Transformer<Cpu>(ctx, {.dim = kChannels, .layers = 2, .heads = 3, .hidden = 8, .positions = positions}));
  }
}

TEST_CASE("results do not depend on the number of threads", "[layers][threads]") {
  Context<Cpu> made;
  const Net net(made);
  const auto run = [&](int threads) {
    Context<Cpu> ctx(Cpu{}, 5);
    ctx.threads(threads);
    ctx.train();
    const auto x = input(ctx, Shape<3>{3, 400, 40}, normal(Shape<3>{3, 400, 40}, 2).data);
    const auto y = net.up(net.transformer(net.norm(net.conv(sequence_of(x, std::vector<long>{400, 123, 301})))));
    const auto gradients = ctx.backward(mean(y.frames * y.frames));
    std::vector<std::vector<float>> all{to_vector(y.frames.tensor())};
    for_each_param(net, [&](const std::string&, const auto& p) { all.push_back(to_vector(gradients[p])); });
    return all;
  };
  const auto one = run(1);
  CHECK(one.size() == 21 + 4);
  for (int threads : {2, 3, 5}) CHECK(run(threads) == one);
}
