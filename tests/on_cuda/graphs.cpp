// Streams and captured graphs: what a graph repeats is what the same calls compute, and what it could not repeat is
// refused with a word.
#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "graph_support.hpp"
#include "numbers.hpp"
#include "phonaut/core/cuda_graph.hpp"
#include "phonaut/core/cuda_stream.hpp"
#include "phonaut/core/recompute.hpp"
#include "phonaut/layers/mlp.hpp"
#include "phonaut/layers/norms.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/dropout.hpp"
#include "phonaut/ops/mask_frames.hpp"
#include "phonaut/ops/reduce.hpp"
#include "phonaut/ops/stft.hpp"
#include "phonaut/training/sgd.hpp"
#include "plans.cuh"
#include "runtime.cuh"

using namespace phonaut;
using testing::Neighbours;
using testing::no_gpu;
using testing::numbers;
using testing::tensor;

namespace {

template <class B>
struct Model {
  LayerNorm<B> norm;
  Mlp<B> mlp;
  Linear<B> out;

  explicit Model(Context<B>& ctx)
      : norm(ctx, {.dim = 12}), mlp(ctx, {.dim = 12, .hidden = 20}), out(ctx, {.in = 12, .out = 5}) {}
  Var<B, 3> operator()(const Var<B, 3>& x) const { return out(x + mlp(norm(x))); }
  Var<B, 0> loss(const Var<B, 3>& x, const Var<B, 3>& target) const {
    const Var<B, 3> error = (*this)(x)-target;
    return mean(error * error);
  }
  static void visit(auto& self, auto&& f) {
    f("norm", self.norm);
    f("mlp", self.mlp);
    f("out", self.out);
  }
};

constexpr Shape<3> frames{2, 9, 12}, targets{2, 9, 5};

/// What the StateError says that `run` throws; empty if it throws none.
std::string refusal(const std::function<void()>& run) {
  try {
    run();
  } catch (const StateError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a graph repeats a forward on the numbers that its inputs hold by then", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  for (const bool of_its_own : {true, false}) {
    Context<Cuda> ctx(of_its_own ? stream.backend() : Cuda{}, 7);
    const Model<Cuda> model(ctx);
    const auto x = tensor(ctx, frames, 1);
    Var<Cuda, 3> y;
    const auto graph = CudaGraph::capture(ctx, [&] { y = model(ctx.constant(x)); });
    for (unsigned seed = 2; seed < 5; ++seed) {
      refill(ctx, x, numbers(x.size(), seed));
      const Neighbours before(ctx);
      graph.launch();
      CHECK(before.unharmed());
      const Neighbours after(ctx);
      const auto got = values_of(y), want = values_of(model(ctx.constant(x)));
      CHECK(got == want);  // the same kernels: the same bits
    }
  }
}

TEST_CASE("a graph repeats forward and backward while the weights move", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  Context<Cuda> ctx(stream.backend(), 7), eager(stream.backend(), 7);
  ctx.train();
  eager.train();
  const Model<Cuda> model(ctx), twin(eager);
  Sgd<Cuda> optimiser(ctx.backend(), model), other(eager.backend(), twin);
  const auto x = tensor(ctx, frames, 1), target = tensor(ctx, targets, 2);
  Var<Cuda, 0> loss;
  Gradients<Cuda> gradients;
  const auto graph = CudaGraph::capture(ctx, [&] {
    loss = model.loss(ctx.constant(x), ctx.constant(target));
    gradients = ctx.backward(loss);
  });
  double first = 0, last = 0;
  for (unsigned step = 0; step < 4; ++step) {
    refill(ctx, x, numbers(x.size(), 10 + step % 2));
    const Neighbours before(ctx);
    graph.launch();
    CHECK(before.unharmed());
    const Neighbours after(ctx);
    optimiser.step(ctx.backend(), gradients, 0.1);

    const auto want = twin.loss(eager.constant(x), eager.constant(target));
    const auto slopes = eager.backward(want);
    other.step(eager.backend(), slopes, 0.1);

    CHECK(item(loss) == item(want));
    CHECK(values_of(ctx, gradients[model.mlp.up.weight]) == values_of(eager, slopes[twin.mlp.up.weight]));
    CHECK(values_of(ctx, model.out.bias.tensor()) == values_of(eager, twin.out.bias.tensor()));
    (step == 0 ? first : last) = static_cast<double>(item(loss));
  }
  CHECK(last < first);
}

TEST_CASE("a graph repeats spectra by cuFFT, whose plans it keeps", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  Context<Cuda> ctx(stream.backend()), eager(stream.backend());
  ctx.train();
  eager.train();
  // A large prime in frames of samples, and back to samples.
  const StftConfig config{.n_fft = 254, .hop = 60};
  const auto magnitudes = [&](const Var<Cuda, 2>& x) {
    return spectrogram(x, config, Spectrum::smooth_magnitude, 1e-3);
  };
  const auto loss_of = [&](const Var<Cuda, 2>& x) { return mean(magnitudes(istft(stft(x, config), config, 500) + x)); };
  const auto x = tensor(ctx, Shape<2>{2, 500}, 1);
  Var<Cuda, 2> leaf;
  Var<Cuda, 0> loss;
  Gradients<Cuda> gradients;
  const auto graph = CudaGraph::capture(ctx, [&] {
    leaf = ctx.variable(x);
    loss = loss_of(leaf);
    gradients = ctx.backward(loss);
  });
  for (unsigned seed = 2; seed < 5; ++seed) {
    refill(ctx, x, numbers(x.size(), seed));
    const Neighbours before(ctx);
    graph.launch();
    CHECK(before.unharmed());
    const auto variable = eager.variable(x);
    const auto want = loss_of(variable);
    const auto slopes = eager.backward(want);
    CHECK(item(loss) == item(want));
    CHECK(values_of(ctx, gradients[leaf]) == values_of(eager, slopes[variable]));
    // So many other plans that the thread forgets those of the graph.
    const auto rows = eager.full(Shape<2>{200, 4}, 0.f);
    for (long count = 1; count <= 200; ++count) cuda::transform_rows(eager.backend(), rows.data(), 2, count);
  }
}

TEST_CASE("a plan that captured work takes lives as long as the graph", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  Context<Cuda> ctx(stream.backend());
  cuda::Plans<int, int> plans(2);
  int made = 0;
  const auto take = [&](int key) {
    return plans.get(key, "there is no plan", [&] {
      ++made;
      return std::make_shared<int>(10 * key);
    });
  };
  std::weak_ptr<int> taken;
  {
    const auto graph = CudaGraph::capture(ctx, [&] {
      ctx.full(Shape<1>{8}, 1.f);
      taken = take(1);
    });
    CHECK(made == 1);
    for (int key = 2; key < 10; ++key) CHECK(*take(key) == 10 * key);
    CHECK_FALSE(taken.expired());
  }
  CHECK(taken.expired());
  int runs = 0;
  CHECK(refusal([&] { CudaGraph::capture(ctx, [&] { take(20 + runs++); }); }).find("there is no plan") !=
        std::string::npos);
  CHECK(made == 10);
}

TEST_CASE("gradients that a graph adds up begin anew only where they are cleared", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  Context<Cuda> ctx(stream.backend(), 7);
  ctx.train();
  const Model<Cuda> model(ctx);
  const auto x = tensor(ctx, frames, 1), target = tensor(ctx, targets, 2);
  const auto loss = [&] { return model.loss(ctx.constant(x), ctx.constant(target)); };
  Gradients<Cuda> sum;
  const auto graph = CudaGraph::capture(ctx, [&] { ctx.backward(loss(), sum); });
  const auto& weight = model.out.weight;
  const auto once = values_of(ctx, ctx.backward(loss())[weight]);
  kernel::fill(ctx.backend(), sum[weight].data(), weight.size(), 0.f);
  for (int i = 0; i < 2; ++i) graph.launch();
  const auto twice = values_of(ctx, sum[weight]);
  for (size_t i = 0; i < once.size(); ++i) CHECK(twice[i] == 2 * once[i]);  // doubling is exact
}

TEST_CASE("a graph may outlive its context, and its memory outlives both", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  Context<Cuda> reader(stream.backend());
  const auto x = Tensor<Cuda, 1>::persistent({64});
  refill(reader, x, numbers(64, 1));
  Tensor<Cuda, 1> y;
  {
    std::optional<CudaGraph> graph;
    {
      Context<Cuda> ctx(stream.backend());
      graph = CudaGraph::capture(ctx, [&] { y = (2.f * ctx.constant(x)).tensor(); });
    }
    CudaGraph moved = std::move(*graph);
    refill(reader, x, numbers(64, 3));
    moved.launch();
  }
  const Neighbours after(reader);
  const auto want = numbers(64, 3);
  const auto got = values_of(reader, y);
  for (size_t i = 0; i < want.size(); ++i) CHECK(got[i] == 2 * want[i]);
}

TEST_CASE("what captured work used stays, although its owner lets go of it", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  Context<Cuda> ctx(stream.backend());
  const auto x = tensor(ctx, Shape<1>{64}, 1);
  auto weight = Tensor<Cuda, 1>::persistent({64});
  refill(ctx, weight, numbers(64, 2));
  Var<Cuda, 1> y;
  int runs = 0;
  const auto graph = CudaGraph::capture(ctx, [&] {
    y = ctx.constant(x) + ctx.constant(weight);
    if (++runs == 2) weight = {};
  });
  auto other = Tensor<Cuda, 1>::persistent({64});
  refill(ctx, other, std::vector<float>(64, std::numeric_limits<float>::quiet_NaN()));
  graph.launch();
  const auto got = values_of(y), a = numbers(64, 1), b = numbers(64, 2);
  for (size_t i = 0; i < a.size(); ++i) CHECK(got[i] == a[i] + b[i]);
}

TEST_CASE("lengths are those of the capture, however many", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream;
  Context<Cuda> ctx(stream.backend());
  // More than travels with launches: the graph keeps a copy for its own.
  const long batch = 70000;
  const auto x = tensor(ctx, Shape<3>{batch, 2, 1}, 1);
  Var<Cuda, 3> y;
  {
    std::vector<long> lengths(static_cast<size_t>(batch), 2);
    lengths[1] = 1;
    lengths[69999] = 0;
    auto padded = sequence_of(ctx.constant(x), lengths);
    const auto graph = CudaGraph::capture(ctx, [&] { y = mask_frames(padded).frames; });
    std::fill_n(padded.lengths.data(), batch, 2L);
    graph.launch();
    stream.wait();
  }
  const auto got = values_of(y), given = numbers(2 * batch, 1);
  CHECK(got[0] == given[0]);
  CHECK(got[2] == given[2]);
  CHECK(got[3] == 0);
  CHECK(got[139997] == given[139997]);
  CHECK(got[139998] == 0);
}

TEST_CASE("what a graph could not repeat is refused, and the context goes on", "[graph]") {
  if (no_gpu()) return;
  const CudaStream stream, second;
  Context<Cuda> ctx(stream.backend(), 7);
  ctx.train();
  const Model<Cuda> model(ctx);
  Sgd<Cuda> optimiser(ctx.backend(), model);
  const auto x = tensor(ctx, frames, 1), target = tensor(ctx, targets, 2);
  const auto loss = [&] { return model.loss(ctx.constant(x), ctx.constant(target)); };
  const Cuda copy = ctx.backend();
  const auto inner = CudaGraph::capture(ctx, [&] { ctx.full(Shape<1>{8}, 1.f); });
  const std::vector<float> eight(8, 1.f);

  struct Case {
    const char* says;
    std::function<void()> work;
  };
  long runs = 0;
  const std::vector<Case> cases{
      {"draws random numbers (216 this time)", [&] { dropout(ctx.constant(x), 0.1); }},
      {"draws of a step", [&] { ctx.step_draws(1); }},
      {"a schedule", [&] { ctx.step(); }},
      {"numbers are read back", [&] { item(loss()); }},
      {"numbers of the host are copied in", [&] { input(ctx, Shape<1>{8}, eight); }},
      {"the stream is waited for", [&] { kernel::synchronise(ctx.backend()); }},
      {"the stream is waited for", [&] { stream.wait(); }},
      {"told to follow another", [&] { stream.follow(second.backend()); }},
      {"rate from the host", [&] { optimiser.step(ctx.backend(), ctx.backward(loss()), 0.1); }},
      {"on another stream", [&] { kernel::fill(copy, x.data(), x.size(), 1.f); }},
      {"on another stream", [&] { kernel::fill(Cuda{}, x.data(), x.size(), 1.f); }},
      {"wants a plan", [&] { cuda::transform_rows(ctx.backend(), x.data(), 6, 1 + runs++); }},
      {"another graph is launched", [&] { inner.launch(); }},
      {"memory is asked of the GPU", [&] { ctx.empty(Shape<1>{1000L << 10 * runs++}); }},
  };
  for (const Case& c : cases) {
    INFO(c.says);
    const std::string said = refusal([&] { CudaGraph::capture(ctx, c.work); });
    CHECK(said.find("cuda graph: ") == 0);
    CHECK(said.find(c.says) != std::string::npos);
    ctx.clear();
    refill(ctx, x, numbers(x.size(), 1));
    CHECK(ctx.backend().stream == copy.stream);
  }
  // The first run of the outer one captures nothing yet: the second one meets the inner one.
  CHECK(refusal([&] { CudaGraph::capture(ctx, [&] { CudaGraph::capture(ctx, [] {}); }); }).find("another capture") !=
        std::string::npos);
  // What the work throws comes through.
  int calls = 0;
  CHECK_THROWS_AS(CudaGraph::capture(ctx,
                                     [&] {
                                       ctx.full(Shape<1>{8}, 1.f);
                                       if (++calls == 2) throw ConfigError("from the work");
                                     }),
                  ConfigError);
  // Draws of a recomputed part are found as well; a recomputed part without any is repeated.
  CHECK(refusal([&] {
          CudaGraph::capture(ctx, [&] {
            ctx.backward(mean(recompute(ctx.variable(x), [](const auto& v) { return dropout(v, 0.1); })));
          });
        }).find("draws random numbers") != std::string::npos);
  ctx.clear();
  refill(ctx, x, numbers(x.size(), 1));
  Gradients<Cuda> gradients;
  const auto graph = CudaGraph::capture(ctx, [&] {
    const auto v = recompute(ctx.constant(x), [&](const auto& u) { return model(u); }) - ctx.constant(target);
    gradients = ctx.backward(mean(v * v));
  });
  graph.launch();
  const auto slopes = ctx.backward(loss());
  CHECK(values_of(ctx, gradients[model.out.weight]) == values_of(ctx, slopes[model.out.weight]));
}

TEST_CASE("streams run beside each other, and one can follow another", "[stream]") {
  if (no_gpu()) return;
  CudaStream first;
  const CudaStream second;
  CHECK(first.backend().stream != nullptr);
  CHECK(first.backend().stream != second.backend().stream);
  CHECK(first.backend(Precision::tf32).precision == Precision::tf32);
  Context<Cuda> one(first.backend(), 7), two(second.backend());
  const Model<Cuda> model(one);
  const auto x = tensor(one, frames, 1);
  const auto y = model(one.constant(x));
  second.follow(first.backend());
  const auto z = 2.f * two.constant(y.tensor());
  second.wait();
  const auto got = values_of(z), once = values_of(y);
  for (size_t i = 0; i < once.size(); ++i) CHECK(got[i] == 2 * once[i]);
  CudaStream moved = std::move(first);
  moved.wait();
  CHECK(moved.backend().stream == one.backend().stream);
}
