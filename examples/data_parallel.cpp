// Trains one model on several processes, each on its share of every batch: a Zipformer whose latents are kept normal by
// SIGReg and are quantized, on spoken digits. What it learns does not depend on the number of processes
// (docs/data_parallel.md).
//
//   data_parallel [--device cpu|cuda[:N]] [steps] [seconds of speech in the share of a process] [channels]
//   mpirun -n 2 data_parallel [--device cuda] [steps] …              two processes, with twice the batch
//
// On GPUs every process of a machine has one of its own, from GPU N on, and gradients go from one to the other by NCCL.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <vector>

#include "common/arguments.hpp"
#include "phonaut/parallel/mpi.hpp"
#include "phonaut/parallel/nccl.hpp"
#include "phonaut/phonaut.hpp"

using namespace phonaut;
namespace {

template <class B>
struct Model {
  LogMel<B> mel;
  Linear<B> in;
  Zipformer<B> encoder;
  ResidualQuantizer<B> codes;
  Linear<B> out;

  Model(Context<B>& ctx, long channels)
      : mel(ctx, {.sample_rate = 8000, .n_fft = 256, .hop = 80, .bands = 40}),
        in(ctx, {.in = 40, .out = channels}),
        encoder(ctx,
                {.stacks = {{.dim = channels, .layers = 1, .feedforward = 3 * channels, .kernel = 15},
                            {.dim = channels, .layers = 1, .feedforward = 3 * channels, .kernel = 15, .downsample = 2}},
                 .output_downsample = 1,
                 .training = ZipformerTraining::off()}),
        codes(ctx, {.dims = channels, .levels = 2, .codebook = {.entries = 64, .kmeans_iterations = 5}}),
        out(ctx, {.in = channels, .out = 40}) {}
  static void visit(auto& self, auto&& f) {
    f("in", self.in), f("encoder", self.encoder), f("codes", self.codes), f("out", self.out);
  }

  /// The same number on all processes, that of the whole batch; each has its part of the gradient.
  Var<B, 0> loss(const Waveform<B>& speech) const {
    const Sequence<B> wanted = mel(speech);
    const Sequence<B> latents = encoder(wanted.with(in(wanted.frames)));
    const Quantized<B> q = codes(latents);
    const Sequence<B> got = wanted.with(out(q.quantized.frames));
    return mean_over_ranks(mse_loss(got, wanted), wanted) + 0.02f * sigreg(latents, {.slices = 256}) + q.loss;
  }
};

/// The ranks as their gradients reach each other. On GPUs this chooses that of the process: `first`, and one more for
/// each process of the same machine that comes before this one.
template <class B>
Ranks joined(const Ranks& ranks, int first) {
  if constexpr (std::is_same_v<B, Cuda>) {
    std::array<char, 256> machine{};
    gethostname(machine.data(), machine.size() - 1);
    const auto machines = ranks.all_gather(machine);
    const auto before = std::count(machines.begin(), machines.begin() + ranks.rank(), machine);
    or_usage_error([&] { select_cuda_device(first + static_cast<int>(before)); });
    return over_nccl(ranks);
  } else {
    return ranks;
  }
}

struct Options {
  int gpu = 0;  ///< of the first process of a machine
  long steps = 20;
  double seconds = 6;
  long channels = 64;
};

template <class B>
void train(const Ranks& processes, const Options& o) {
  const Ranks ranks = joined<B>(processes, o.gpu);
  Context<B> ctx(B{}, 1);
  if constexpr (std::is_same_v<B, Cpu>) ctx.threads(1);  // processes share the cores
  Model<B> model(ctx, o.channels);
  ctx.join(ranks);
  Trainer<B> trainer(ctx, model, AdamW<B>(ctx.backend(), model), {.rate = ConstantSchedule{2e-3}, .clip = 5});
  DataLoader loader(
      read_manifest(PHONAUT_EXAMPLE_DATA "/fsdd_digits/manifest.tsv"),
      {.rate = 8000, .min_seconds = 0.2, .batch_seconds = o.seconds, .rank = ranks.rank(), .ranks = ranks.size()});
  if (ranks.first())
    std::printf("%d process%s, %ld parameters\n", ranks.size(), ranks.alone() ? "" : "es", parameter_count(model));
  double first = 0, last = 0;
  std::vector<double> times, busy;  // seconds of a step, and those that a processor worked on it for this process
  ReductionTimes warm_up;
  for (long step = 1; step <= o.steps; ++step) {
    const Batch batch = *loader.next();
    const auto start = std::chrono::steady_clock::now();
    const std::clock_t worked = std::clock();
    const TrainStep done = trainer.step([&] {
      return model.loss(
          {input(ctx, Shape<2>{batch.size(), batch.time}, batch.samples), lengths_of(ctx, batch.lengths), 8000});
    });
    kernel::synchronise(ctx.backend());  // a GPU may not have come to the end of its update
    last = done.loss;
    if (step == 1) first = done.loss;
    // The first steps set the codebooks by k-means and find the order of gradients.
    if (step > 3) {
      times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      busy.push_back(static_cast<double>(std::clock() - worked) / CLOCKS_PER_SEC);
    } else if (trainer.reducer()) {
      warm_up = trainer.reducer()->times();
    }
    if (ranks.first() && step % 10 == 0) std::printf("step %4ld   loss %.4f\n", step, done.loss);
  }
  // All processes must have come to the same weights.
  double mark = 0;
  for_each_param(model, [&](const std::string&, const auto& p) {
    for (const float v : values_of(ctx, p.tensor())) mark = 0.99 * mark + static_cast<double>(v);
  });
  for (const double other : ranks.all_gather(mark))
    if (other != mark) throw RankError("the processes have come to different weights");
  if (!ranks.first() || times.empty()) return;
  const auto median = [](std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return 1e3 * v[v.size() / 2];
  };
  std::printf("loss %.4f -> %.4f, a step takes %.2f ms, of which a processor works %.2f (medians)\n", first, last,
              median(times), median(busy));
  const auto* reducer = trainer.reducer();
  if (!reducer) return;
  if constexpr (std::is_same_v<B, Cuda>) {
    std::printf("gradients in %zu buckets, from GPU to GPU; the same weights everywhere\n", reducer->buckets());
  } else {
    const ReductionTimes all = reducer->times();
    const ReductionTimes t{all.busy - warm_up.busy, all.waited - warm_up.waited};
    std::printf(
        "gradients in %zu buckets: %.2f ms a step to add up, %.2f of them waited for; the same weights everywhere\n",
        reducer->buckets(), 1e3 * t.busy / static_cast<double>(times.size()),
        1e3 * t.waited / static_cast<double>(times.size()));
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const Arguments arguments = arguments_of<Backend>(argc, argv, 3);
  const Options defaults;
  const Options options{.gpu = arguments.device.index,
                        .steps = arguments.count(0, "the number of steps", defaults.steps),
                        .seconds = arguments.number(1, "the seconds of speech", defaults.seconds),
                        .channels = arguments.count(2, "the number of channels", defaults.channels)};
  run_on_mpi([&](const Ranks& ranks) { train<Backend>(ranks, options); });
  return 0;
} catch (const UsageError& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 2;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
