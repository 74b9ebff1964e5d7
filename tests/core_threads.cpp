// One read-only model, many threads: each with a context of its own, all with the same bits. Meant for the thread
// sanitizer, which cannot look into OpenMP: every context computes on one thread.
#include <thread>

#include "catch.hpp"
#include "phonaut/core/visit.hpp"
#include "phonaut/layers/conv1d.hpp"
#include "phonaut/layers/transformer.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;

namespace {

struct Model {
  Conv1d<Cpu> stem;
  GroupNorm<Cpu> norm;
  Transformer<Cpu> encoder;
  explicit Model(Context<Cpu>& ctx)
      : stem(ctx, {.in = 12, .out = 32, .taps = 3, .stride = 2, .padding = ConvPadding::centred()}),
        norm(ctx, {.dim = 32, .groups = 4}),
        encoder(ctx, {.dim = 32, .layers = 2, .heads = 4, .hidden = 64, .dropout = 0.1}) {}
  Sequence<Cpu> operator()(const Sequence<Cpu>& x) const { return encoder(norm(stem(x))); }
  static void visit(auto& self, auto&& f) {
    f("stem", self.stem);
    f("norm", self.norm);
    f("encoder", self.encoder);
  }
};

using Numbers = std::vector<std::vector<float>>;

/// Output and all gradients of a training step, then the output of inference, in a context of this thread's own.
Numbers work(const Model& model, std::uint64_t seed) {
  Context<Cpu> ctx(Cpu{}, seed);
  ctx.threads(1);
  const auto values = testing::normal(Shape<3>{2, 31, 12}, seed).data;
  const auto run = [&] {
    return model(sequence_of(input(ctx, Shape<3>{2, 31, 12}, values), std::vector<long>{31, 17})).frames;
  };
  Numbers all;
  ctx.train();
  const auto y = run();
  all.push_back(to_vector(y.tensor()));
  const auto gradients = ctx.backward(mean(y * y));
  for_each_param(model, [&](const std::string&, const auto& p) { all.push_back(to_vector(gradients[p])); });
  ctx.infer();
  all.push_back(to_vector(run().tensor()));
  return all;
}

}  // namespace

TEST_CASE("threads share a model", "[core][threads]") {
  Context<Cpu> made;
  const Model model(made);
  constexpr std::uint64_t kThreads = 4, kRounds = 3;
  std::vector<Numbers> want;
  for (std::uint64_t i = 0; i < kThreads; ++i) want.push_back(work(model, i));
  std::vector<Numbers> got(kThreads);
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < kThreads; ++i)
      threads.emplace_back([&, i] { got[static_cast<size_t>(i)] = work(model, i); });
    for (auto& thread : threads) thread.join();
    CHECK(got == want);
  }
}

TEST_CASE("tensors may be dropped on another thread than their context's", "[core][threads]") {
  Context<Cpu> ctx;
  for (int round = 0; round < 50; ++round) {
    std::vector<Tensor<Cpu, 1>> made;
    for (long i = 0; i < 20; ++i) made.push_back(ctx.full(Shape<1>{100 * i}, static_cast<float>(i)));
    std::thread other([mine = std::move(made)] { CHECK(mine[7].data()[0] == 7.0f); });
    const auto meanwhile = ctx.full(Shape<1>{500}, 1.0f);  // takes from the pool while the other thread gives back
    other.join();
    CHECK(meanwhile.data()[499] == 1.0f);
  }
  // What came back is used again: the pool holds about what one or two rounds need.
  CHECK(ctx.pool().reserved_bytes() < 3u * 20u * 100u * 20u * sizeof(float));
}
