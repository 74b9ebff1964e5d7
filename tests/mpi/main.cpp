// Ranks that train together, as processes: `mpirun -n N phonaut-test-mpi` runs the checks on each of them, and
// `mpirun -n N phonaut-test-mpi throw` a training in which rank 1 fails.
#define CATCH_CONFIG_RUNNER
#include <cstring>
#include <iostream>

#include "catch.hpp"
#include "io_support.hpp"
#include "parallel_support.hpp"
#include "phonaut/parallel/mpi.hpp"
#include "phonaut/parallel/threads.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

Ranks world;

/// A training that breaks off on rank 1, in the way back of its second step.
void break_off(const Ranks& ranks) {
  Context<Cpu> ctx;
  ctx.threads(1);
  Mixture<Cpu> model(ctx);
  ctx.join(ranks);
  Trainer<Cpu> trainer(ctx, model, AdamW<Cpu>(ctx.backend(), model), {});
  for (int i = 0; i < 4; ++i)
    trainer.step([&] {
      const auto x = ctx.lift(model.kernel);
      if (ranks.rank() != 1 || i < 1) return sum(x * x);
      return record(
          ctx.full(Shape<0>{}, 1.f),
          [](Context<Cpu>&, const Tensor<Cpu, 0>&) { throw FormatError("there is a hole in the disk"); }, x);
    });
}

}  // namespace

TEST_CASE("processes tell each other sums, values and bytes") { CHECK(try_collectives(world) == ""); }

TEST_CASE("processes train as one with n times the batch, and have the same bits as threads") {
  // Uneven shares, and batches of which somebody gets nothing.
  const std::vector<long> batches{6, 5, 1, 7};
  const Trained mine = train_together(world, batches);
  for (const double v : mine.values) REQUIRE(std::isfinite(v));
  double mark = 0;
  for (size_t i = 0; i < mine.values.size(); ++i)
    mark += std::ldexp(mine.values[i], static_cast<int>(i % 7)) + mine.average[i];
  for (const double other : world.all_gather(mark)) CHECK(other == mark);

  const Trained one = train_together(Ranks(), batches);
  CHECK(distance(mine.values, one.values) < rounding_of_sums);
  CHECK(distance(mine.average, one.average) < rounding_of_sums);
  CHECK(distance(mine.losses, one.losses) < rounding_of_sums);
  Trained thread;
  run_on_threads(world.size(), [&](const Ranks& ranks) {
    Trained t = train_together(ranks, batches);
    if (ranks.first()) thread = std::move(t);
  });
  CHECK(mine.values == thread.values);
  CHECK(mine.losses == thread.losses);
  CHECK(mine.norms == thread.norms);
}

TEST_CASE("processes that want different things all learn of it") {
  const Ranks channel = world.duplicate();
  std::vector<float> values(static_cast<size_t>(10 + channel.rank() % 2));
  CHECK(message_of<RankError>([&] { channel.all_reduce(values.data(), static_cast<long>(values.size())); }) ==
        "ranks: rank 0 wants the sum of 10 floats, but rank 1 wants the sum of 11 floats");
  CHECK_THROWS_AS(channel.barrier(), RankError);  // and from now on
  world.barrier();                                // the other channel is as it was
}

TEST_CASE("a process that leaves a channel leaves nobody waiting there") {
  const Ranks channel = world.duplicate();
  if (channel.rank() == 1) channel.abandon("this test wants it");
  else
    CHECK(message_of<RankError>([&] { channel.all_reduce(1.0); }) ==
          "ranks: rank 0 wants the sum of 1 doubles, but rank 1 wants nothing, because it has failed: this test wants "
          "it");
  world.barrier();
  {
    const Ranks another = world.duplicate();
    if (another.rank() != 1) CHECK_THROWS_AS(another.barrier(), RankError);  // its last handle goes away on rank 1
  }
  world.barrier();
}

int main(int argc, char** argv) {
  try {
    int failed = 0;
    run_on_mpi([&](const Ranks& ranks) {
      if (ranks.size() < 2) throw ConfigError("these checks need at least two processes: start them with mpirun");
      if (argc > 1 && std::strcmp(argv[1], "throw") == 0) return break_off(ranks);
      world = ranks;
      failed = Catch::Session().run(argc, argv);
      world = Ranks();
    });
    return failed;
  } catch (const std::exception& error) {
    std::cout << "this rank ended: " << error.what() << std::endl;
    return 1;
  }
}
