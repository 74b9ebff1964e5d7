// A training run goes on bit for bit after it was stopped, killed or interrupted; numbers that are not finite are
// dropped and counted.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <thread>

#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/ops/activations.hpp"
#include "phonaut/ops/linear.hpp"
#include "phonaut/training/checkpoint.hpp"
#include "phonaut/training/data.hpp"
#include "phonaut/training/progress.hpp"
#include "phonaut/training/signals.hpp"
#include "phonaut/training/trainer.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

constexpr long window = 20, hidden = 24;

/// Two linear maps that predict a window of samples from a noisy one. Its States change as it trains, and it draws
/// from both generators of the context.
struct Toy {
  Param<Cpu, 2> up, down;
  Param<Cpu, 1> up_bias, down_bias;
  State<Cpu, 1> seen;

  explicit Toy(Context<Cpu>& ctx)
      : up(make_param(ctx, Shape<2>{hidden, window}, Init::fan_in(window))),
        down(make_param(ctx, Shape<2>{window, hidden}, Init::fan_in(hidden))),
        up_bias(make_param(ctx, Shape<1>{hidden}, Init::constant(0))),
        down_bias(make_param(ctx, Shape<1>{window}, Init::constant(0))),
        seen(make_state<float>(ctx, Shape<1>{2}, Init::constant(0))) {}
  static void visit(auto& self, auto&& f) {
    f("up", self.up), f("up_bias", self.up_bias), f("down", self.down), f("down_bias", self.down_bias),
        f("seen", self.seen);
  }
  Var<Cpu, 0> loss(Context<Cpu>& ctx, const Batch& batch) const {
    const long frames = batch.time / window;
    std::vector<float> clean;
    for (long n = 0; n < batch.size(); ++n) {
      const auto first = batch.samples.begin() + n * batch.time;
      clean.insert(clean.end(), first, first + frames * window);
    }
    const Shape<2> shape{batch.size() * frames, window};
    std::vector<float> noisy = clean;
    const Draws draws = ctx.random().take(static_cast<long>(noisy.size())), mask = ctx.step_draws(5);
    for (size_t i = 0; i < noisy.size(); ++i)
      noisy[i] = mask.uniform(static_cast<long>(i)) < 0.1f
                     ? 0.0f
                     : noisy[i] + 0.1f * static_cast<float>(draws.normal(static_cast<long>(i)));
    seen.tensor().data()[0] += static_cast<float>(batch.size());
    const auto y = linear(tanh(linear(input(ctx, shape, noisy), up, up_bias)), down, down_bias);
    const auto error = y - input(ctx, shape, clean);
    return mean(error * error);
  }
};

/// Everything that a program makes before it trains. `seed` differs between runs that are to end alike, to prove that
/// the checkpoint brings all of it back.
struct Run {
  Context<Cpu> ctx;
  Toy model, average;
  DataLoader loader;
  Trainer<Cpu> trainer;
  double best = HUGE_VAL;

  Run(const std::string& manifest, std::uint64_t seed, int threads = 1, long steps = 20)
      : ctx(Cpu{{}, threads, best_isa()}, seed),
        model(ctx),
        average(deep_copy(model, ctx.backend())),
        loader(read_manifest(manifest),
               {.rate = 8000, .cut_seconds = 0.25, .batch_seconds = 0.8, .batch_size = 4, .seed = 1, .prefetch = 2}),
        trainer(ctx, model, AdamW<Cpu>(ctx.backend(), model, {.weight_decay = 0.1}),
                {.rate = WarmupCosine{.peak = 0.02, .warmup = 4, .total = static_cast<double>(steps)},
                 .clip = 0.5,
                 .accumulate = 2}) {
    trainer.follow(Ema<Cpu>(average, model, {}));
  }
  auto state() {
    return [this](auto& archive) {
      archive("", model);
      archive("training/average", average);
      archive("training/trainer", trainer);
      archive("training/data", loader);
      archive("training/best", best);
      archive("training/settings", Same{"toy"});
    };
  }
  TrainStep step() {
    TrainStep done;
    do {
      done = trainer.step(model.loss(ctx, *loader.next()));
    } while (!done.updated);
    best = std::min(best, done.loss);
    return done;
  }
  void until(long steps) {
    while (trainer.step_count() < steps) step();
  }
  /// All that the run consists of, as the bytes of its checkpoint.
  std::string bytes(const TemporaryFolder& folder) {
    const std::string path = folder / "compare.safetensors";
    save_checkpoint(path, state());
    return slurp(path);
  }
};

std::string speech(const TemporaryFolder& folder) {
  std::string table = "path\tspeaker\n";
  for (int i = 0; i < 11; ++i) {
    std::vector<float> samples(static_cast<size_t>(2000 + 300 * i));
    for (size_t t = 0; t < samples.size(); ++t)
      samples[t] = 0.3f * std::sin(0.02f * static_cast<float>((i + 1) * static_cast<int>(t)));
    const std::string name = concat("u", i, i % 2 ? ".flac" : ".wav");
    write_audio(folder / name, samples, 8000);
    table += name + "\ts\n";
  }
  spill(folder / "list.tsv", table);
  return folder / "list.tsv";
}

/// This program again, running only the test case `name`.
pid_t run_child(const std::string& name, const TemporaryFolder& folder) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::setenv("PHONAUT_TEST_FOLDER", folder.path().c_str(), 1);
  const int null = ::open("/dev/null", O_WRONLY);
  ::dup2(null, 1);
  ::execl("/proc/self/exe", "child", name.c_str(), static_cast<char*>(nullptr));
  ::_exit(127);
}

int wait_for(pid_t child) {
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return status;
}

template <class Done>
bool wait_until(const Done& done) {
  for (int i = 0; i < 6000 && !done(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return done();
}

constexpr long child_steps = 60;

}  // namespace

TEST_CASE("a resumed run ends with the bits of an uninterrupted one", "[training]") {
  const TemporaryFolder folder;
  const std::string manifest = speech(folder), path = folder / "latest.safetensors";
  Run whole(manifest, 1);
  whole.until(20);
  const std::string expected = whole.bytes(folder);
  REQUIRE(whole.loader.position().epoch >= 2);
  REQUIRE(whole.model.seen.tensor().data()[0] > 0);

  for (const long stop : {1L, 7L, 10L, 19L}) {
    {
      Run first(manifest, 1);
      first.until(stop);
      save_checkpoint(path, first.state());
    }
    Run second(manifest, 99, 2);
    load_checkpoint(path, second.state());
    CHECK(second.trainer.step_count() == stop);
    second.until(20);
    CHECK((second.bytes(folder) == expected));
  }
}

TEST_CASE("training does not depend on the number of threads", "[training]") {
  const TemporaryFolder folder;
  const std::string manifest = speech(folder);
  Run one(manifest, 1, 1), three(manifest, 1, 3);
  one.until(6);
  three.until(6);
  CHECK((one.bytes(folder) == three.bytes(folder)));
}

TEST_CASE("a checkpoint belongs between updates", "[training]") {
  const TemporaryFolder folder;
  Run run(speech(folder), 1);
  const TrainStep half = run.trainer.step(run.model.loss(run.ctx, *run.loader.next()));
  CHECK_FALSE(half.updated);
  CHECK_FALSE(run.trainer.between_updates());
  CHECK_THROWS_WITH(save_checkpoint(folder / "x.safetensors", run.state()),
                    "trainer: a checkpoint was asked for after 1 of the 2 losses of an update");
}

TEST_CASE("the trainer accumulates, clips and follows the schedule", "[training]") {
  Context<Reference64> ctx;
  const auto w = make_param(ctx, Shape<1>{1}, Init::constant(2));
  std::vector<Param<Reference64, 1>> model = {w};
  Trainer trainer(ctx, model, AdamW<Reference64>(ctx.backend(), model, {.beta1 = 0, .beta2 = 0, .weight_decay = 0}),
                  {.rate = [](double n) { return 0.1 * (n + 1); }, .clip = 2, .accumulate = 2});
  const auto loss = [&](double slope) { return sum(ctx.lift(w) * input(ctx, Shape<1>{1}, std::vector{slope})); };
  CHECK_FALSE(trainer.step(loss(2)).updated);
  TrainStep done = trainer.step(loss(4));  // mean gradient 3, clipped to 2; Adam without memory steps by the sign
  CHECK(done.updated);
  CHECK(done.step == 1);
  CHECK(done.norm == Approx(3));
  CHECK(done.loss == Approx(6));
  CHECK(done.rate == Approx(0.1));
  CHECK(to_vector(w.tensor())[0] == Approx(1.9));
  trainer.step(loss(-1));
  done = trainer.step(loss(-1));
  CHECK(done.rate == Approx(0.2));
  CHECK(to_vector(w.tensor())[0] == Approx(2.1));
}

TEST_CASE("losses and gradients that are not finite are dropped, counted, and end the training at last", "[training]") {
  Context<Cpu> ctx;
  const auto w = make_param(ctx, Shape<1>{3}, Init::constant(0.5));
  std::vector<Param<Cpu, 1>> model = {w};
  Trainer trainer(ctx, model, AdamW<Cpu>(ctx.backend(), model), {.give_up_after = 4});
  const auto loss = [&](float factor, float lift) {
    const auto term = [&] { return sum(ctx.lift(w) * input(ctx, Shape<1>{3}, std::vector{1.0f, factor, 1.0f})); };
    return term() + term() + sum(input(ctx, Shape<1>{1}, std::vector{lift}));
  };
  CHECK(trainer.step(loss(1, 0)).updated);
  const auto before = to_vector(w.tensor());
  TrainStep done = trainer.step(loss(1, std::nanf("")));  // the loss
  CHECK((done.skipped && !done.updated));
  CHECK(std::isnan(done.loss));
  CHECK(ctx.recorded_ops() == 0);
  done = trainer.step(loss(1, HUGE_VALF));
  CHECK(done.skipped);
  done = trainer.step(loss(2e38f, 0));  // the gradient: 2e38 + 2e38, while the loss is half of that
  CHECK(std::isfinite(done.loss));
  CHECK(done.skipped);
  CHECK_FALSE(std::isfinite(done.norm));
  CHECK((to_vector(w.tensor()) == before));
  CHECK(trainer.step_count() == 1);
  CHECK(trainer.dropped() == 3);
  CHECK(trainer.step(loss(1, 0)).updated);  // one good step, and the patience begins anew
  for (int i = 0; i < 3; ++i) CHECK(trainer.step(loss(1, HUGE_VALF)).skipped);
  CHECK_THROWS_WITH(trainer.step(loss(1, HUGE_VALF)),
                    "trainer: loss or gradients were not finite 4 times in a row, last after step 2 (loss inf); try a "
                    "lower learning rate from the last checkpoint, which is untouched");
  CHECK(trainer.dropped() == 7);
}

TEST_CASE("child that trains slowly until it is done", "[.child]") {
  const char* path = std::getenv("PHONAUT_TEST_FOLDER");
  if (!path) return;
  const CheckpointFolder runs(std::string(path) + "/run");
  StopSignals stop;
  Run run(std::string(path) + "/list.tsv", static_cast<std::uint64_t>(::getpid()), 1, child_steps);
  // Weights of a first start are those of seed 1, whoever the process is.
  if (!runs.has_latest()) {
    Run first(std::string(path) + "/list.tsv", 1, 1, child_steps);
    save_checkpoint(runs.latest(), first.state());
  }
  load_checkpoint(runs.latest(), run.state());
  while (run.trainer.step_count() < child_steps && !stop) {
    run.step();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (run.trainer.step_count() % 3 == 0) save_checkpoint(runs.latest(), run.state());
    spill(std::string(path) + "/steps", std::to_string(run.trainer.step_count()));
  }
  save_checkpoint(runs.latest(), run.state());
  if (stop) std::_Exit(128 + stop.signal());
}

TEST_CASE("kill -9 at any moment loses at most the steps since the last checkpoint", "[training]") {
  const TemporaryFolder folder;
  Run whole(speech(folder), 1, 1, child_steps);
  whole.until(child_steps);
  const std::string expected = whole.bytes(folder);
  const std::string latest = folder / "run/latest.safetensors";

  const std::string name = "child that trains slowly until it is done";
  int kills = 0;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const std::string before = slurp(folder / "steps");
    const pid_t child = run_child(name, folder);
    REQUIRE(wait_until([&] { return slurp(folder / "steps") != before; }));
    std::this_thread::sleep_for(std::chrono::milliseconds(attempt * 3));
    ::kill(child, SIGKILL);
    const int status = wait_for(child);
    kills += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    // Whatever the moment, the file is whole.
    CHECK_NOTHROW(SafetensorsReader(latest));
  }
  CHECK(kills >= 3);
  const int status = wait_for(run_child(name, folder));
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  CHECK((slurp(latest) == expected));
  const CheckpointFolder cleaned(folder / "run");
  CHECK(std::distance(std::filesystem::directory_iterator(folder / "run"), {}) == 1);
}

TEST_CASE("SIGTERM and Ctrl-C in the middle of an epoch leave a checkpoint to go on from", "[training]") {
  const TemporaryFolder folder;
  Run whole(speech(folder), 1, 1, child_steps);
  whole.until(child_steps);
  const std::string expected = whole.bytes(folder);
  const std::string latest = folder / "run/latest.safetensors";

  for (const int signal : {SIGTERM, SIGINT}) {
    const std::string before = slurp(folder / "steps");
    const pid_t child = run_child("child that trains slowly until it is done", folder);
    REQUIRE(wait_until([&] { return slurp(folder / "steps") != before; }));
    ::kill(child, signal);
    const int status = wait_for(child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 128 + signal);
    Run check(folder / "list.tsv", 5, 1, child_steps);
    load_checkpoint(latest, check.state());
    CHECK(std::to_string(check.trainer.step_count()) == slurp(folder / "steps"));  // not a step was lost
    CHECK(check.trainer.step_count() < child_steps);
  }
  const int status = wait_for(run_child("child that trains slowly until it is done", folder));
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  CHECK((slurp(latest) == expected));
}

TEST_CASE("signals set a flag once, and the handlers of before come back", "[training]") {
  static int handled = 0;
  const auto before = std::signal(SIGINT, [](int) { ++handled; });
  {
    StopSignals stop;
    CHECK_FALSE(stop);
    CHECK_THROWS_AS(StopSignals(), StateError);
    std::raise(SIGTERM);
    CHECK(stop);
    CHECK(stop.signal() == SIGTERM);
    std::raise(SIGINT);
    CHECK(stop.signal() == SIGTERM);  // the first one counts
    struct sigaction now {};
    sigaction(SIGINT, nullptr, &now);
    CHECK(now.sa_handler == SIG_DFL);  // a second Ctrl-C would end the program
  }
  CHECK(handled == 0);
  std::raise(SIGINT);
  CHECK(handled == 1);
  CHECK_FALSE(StopSignals());
  std::signal(SIGINT, before);
}

TEST_CASE("progress is drawn on a terminal only", "[training]") {
  std::ostringstream file, terminal, plain;
  {
    Progress progress(file, {}, {.label = "train", .total = 10});
    progress.update(3, "loss 1");
    progress.note("a file was skipped");
  }
  CHECK(file.str() == "a file was skipped\n");
  {
    Progress progress(terminal, {.present = true, .colour = true, .columns = 60},
                      {.label = "train", .total = 10, .redraw_seconds = 0});
    progress.update(0);
    progress.update(5, "loss 0.25");
    progress.note("a file was skipped");
    progress.update(10, "the end of a line that is much too long for a terminal of sixty columns");
  }
  INFO(terminal.str());
  CHECK(contains(terminal.str(), "train [\x1b[32m##########\x1b[0m..........]  50 %  5/10"));
  CHECK(contains(terminal.str(), "\r\x1b[Ka file was skipped\n"));
  CHECK(terminal.str().back() == '\n');
  CHECK_FALSE(contains(terminal.str(), "sixty"));
  {
    Progress progress(plain, {.present = true, .colour = false, .columns = 60}, {.label = "train", .total = 10});
    progress.update(5);
  }
  CHECK_FALSE(contains(plain.str(), "\x1b[32m"));
  CHECK_FALSE(Terminal::of(::open("/dev/null", O_WRONLY)).present);
  CHECK(clock_text(187) == "3:07");
  CHECK(clock_text(3765.4) == "1:02:45");
  CHECK(clock_text(-1) == "0:00");
}
