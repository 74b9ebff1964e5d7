// The published Zipformer encoders, timed when asked: forward, training step, and one chunk of a stream.
//
//   phonaut-bench-zipformer serve  MODEL [options]    answers requests: served.hpp
//   phonaut-bench-zipformer memory MODEL [options]    MB that a training step needs at its peak, for each case
//   phonaut-bench-zipformer check  MODEL PROOF        holds outputs and gradients against those of another program
//   phonaut-bench-zipformer smoke                     everything once, on a small model with weights of its own
//
// MODEL and PROOF are written by peers/zipformer_peers.py. Options: --size S|M|L, --causal, --threads N,
// --precision fp32|bf16|int8, --cases 1000x1,1000x8 (features by utterances).
#include <phonaut/core/packed_weights.hpp>
#include <phonaut/io/safetensors.hpp>
#include <phonaut/phonaut.hpp>
#include <phonaut/training/checkpoint.hpp>

#include <malloc.h>

#include <cmath>
#include <fstream>

#include "program.hpp"
#include "served.hpp"

using namespace phonaut;
using B = Backend;

namespace {

constexpr Chunking kChunking{.frames = 32, .left = 128};

struct Case {
  long frames, batch;
  std::string name() const { return concat(frames, "x", batch); }
};

struct Options {
  std::string command, model, proof, size = "M", precision = "fp32";
  bool causal = false;
  int threads = 1;
  std::vector<Case> cases = {{1000, 1}, {1000, 8}};
};

ZipformerConfig config_of(const Options& o) {
  ZipformerConfig c = o.size == "S"   ? ZipformerConfig::small()
                      : o.size == "M" ? ZipformerConfig::medium()
                                      : ZipformerConfig::large();
  if (o.command == "smoke")  // two narrow stacks
    c.stacks = {
        {.dim = 32, .layers = 1, .heads = 4, .feedforward = 64, .kernel = 31, .causal = o.causal},
        {.dim = 48, .layers = 1, .heads = 4, .feedforward = 64, .kernel = 31, .downsample = 2, .causal = o.causal}};
  // Measured is the model itself, without dropout and what else the recipe does in training.
  return (o.causal ? c.causal() : c).with_training(ZipformerTraining::off());
}

/// Where products in inference find their weights; null: as they are, which is all that a GPU knows.
template <class Device>
void take_weights_from([[maybe_unused]] Context<Device>& ctx, [[maybe_unused]] const PackedWeights* packed) {
  if constexpr (requires { ctx.packed(packed); }) ctx.packed(packed);
}

struct Bench {
  Context<B> ctx{B{}, 1};
  bool causal;
  ZipformerEncoder<B> model;
  Gradients<B> gradients;
  Tensor<B, 3> piece;  ///< as many features as a chunk of a stream takes
  std::optional<ZipformerEncoderState<B>> state;
  std::optional<PackedWeights> packed;

  explicit Bench(const Options& o) : causal(o.causal), model(ctx, {.encoder = config_of(o)}) {
    prepared(ctx, o.threads, o.precision);
    if (!o.model.empty()) load(o.model, model);
    piece = random({2 * kChunking.frames, 1});
  }
  Tensor<B, 3> random(const Case& c) {
    const Shape<3> shape{c.batch, c.frames, 80};
    return input(ctx, shape, draw<float>(ctx, element_count(shape), Init::normal(1))).tensor();
  }
  Sequence<B> forward(const Tensor<B, 3>& features) {
    return model({ctx.constant(features), {}, 100}, causal ? kChunking : Chunking{});
  }
  /// Puts the weights in order once, as the other libraries' sessions do; training goes on without.
  template <class Device>
  void pack(Context<Device>& computing) {
    if constexpr (requires { computing.packed(nullptr); }) packed.emplace(model, computing.backend().precision);
    take_weights_from(computing, packed ? &*packed : nullptr);
  }
  /// Loss sum(output · weights) and its gradients.
  void train(const Tensor<B, 3>& features, const Tensor<B, 3>& weights) {
    take_weights_from(ctx, nullptr);
    ctx.train();
    gradients.clear();
    ctx.backward(sum(forward(features).frames * ctx.constant(weights)), gradients);
    ctx.infer();
    take_weights_from(ctx, packed ? &*packed : nullptr);
  }
  void stream() {
    if (!state) {
      state.emplace(model.start(1, kChunking));
      model({ctx.constant(random({13, 1})), {}, 100}, *state);  // what the stem looks ahead
    }
    model({ctx.constant(piece), {}, 100}, *state);
  }
};

// ---- check ----

struct Difference {
  double largest = 0, squares = 0, reference = 0, most = 0;
  void add(const std::vector<float>& ours, const std::vector<float>& theirs) {
    for (size_t i = 0; i < ours.size(); ++i) {
      const double d = static_cast<double>(ours[i]) - static_cast<double>(theirs[i]);
      largest = std::max(largest, std::fabs(d));
      most = std::max(most, std::fabs(static_cast<double>(theirs[i])));
      squares += d * d;
      reference += static_cast<double>(theirs[i]) * static_cast<double>(theirs[i]);
    }
  }
  double relative() const { return std::sqrt(squares / reference); }
};

/// Whether `name` agrees, and a line that says by how much.
bool agrees(const char* name, const Difference& d) {
  // Both compute in single precision, each in its own order; a fault shows as 1e-3 or more.
  const bool good = d.relative() < 1e-4;
  std::printf("%s: differs by %.1e at most, where numbers are up to %.2g, and by %.1e of its norm%s\n", name, d.largest,
              d.most, d.relative(), good ? "" : ": NOT THE SAME MODEL");
  return good;
}

bool check(const Options& o) {
  Bench bench(o);
  const SafetensorsReader proof(o.proof);
  const auto tensor = [&](const std::string& name) {
    const auto& entry = proof.info(name);
    if (entry.shape.size() != 3)
      throw FormatError(concat(o.proof, ": ", name, " has ", entry.shape.size(), " axes, not 3"));
    return input(bench.ctx, Shape<3>{entry.shape[0], entry.shape[1], entry.shape[2]}, proof.read<float>(name)).tensor();
  };
  const Tensor<B, 3> features = tensor("features"), weights = tensor("weights");
  Difference outputs, slopes;
  outputs.add(values_of(bench.forward(features).frames), proof.read<float>("output"));
  bool good = agrees("output", outputs);
  bench.train(features, weights);
  for_each_param(bench.model, [&](const std::string& name, const auto& p) {
    if (!bench.gradients.has(p)) return;
    slopes.add(values_of(bench.ctx, bench.gradients[p]), proof.read<float>("gradient/" + name));
  });
  good &= agrees("gradients of all weights", slopes);
  if (o.causal) {
    Difference pieces;
    auto state = bench.model.start(1, kChunking);
    pieces.add(values_of(bench.model({bench.ctx.constant(tensor("stream/features")), {}, 100}, state).frames),
               proof.read<float>("stream/output"));
    good &= agrees("stream", pieces);
  }
  return good;
}

// ---- memory ----

double status_megabytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(key + ":", 0) == 0) return std::stod(line.substr(key.size() + 1)) / 1024;
  throw FileError("/proc/self/status does not say " + key);
}

/// What training steps need at their peak beyond what was there before the first one.
double training_megabytes(const Options& o, const Case& c) {
  Bench bench(o);
  const auto x = bench.random(c), w = bench.ctx.clone(bench.forward(x).frames.tensor());
  bench.ctx.pool().trim();
  if constexpr (bench::works_behind<B>) {  // memory of the GPU, which the pool keeps
    const std::size_t before = bench.ctx.pool().reserved_bytes();
    for (int i = 0; i < 2; ++i) bench.train(x, w);
    return static_cast<double>(bench.ctx.pool().reserved_bytes() - before) / (1 << 20);
  }
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";  // forgets the peak so far
  const double before = status_megabytes("VmRSS");
  for (int i = 0; i < 2; ++i) bench.train(x, w);
  return status_megabytes("VmHWM") - before;
}

served::Work work_of(Bench& bench, const Options& o) {
  served::Work work;
  for (const Case& c : o.cases) {
    const auto x = bench.random(c), w = bench.ctx.clone(bench.forward(x).frames.tensor());
    work["forward/" + c.name()] = {[&bench, x] { bench.forward(x); }};
    work["train/" + c.name()] = {[&bench, x, w] { bench.train(x, w); }};
  }
  if (o.causal) work["stream"] = {[&bench] { bench.stream(); }};
  return work;
}

std::vector<Case> cases_of(const std::string& text) {
  std::vector<Case> cases;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    Case c{};
    if (std::sscanf(word.c_str(), "%ldx%ld", &c.frames, &c.batch) != 2 || c.frames < 9 || c.batch < 1)
      throw ConfigError("--cases wants FRAMESxUTTERANCES, at least 9x1, got '" + word + "'");
    cases.push_back(c);
  }
  return cases;
}

int run(const Options& o) {
  // What is served without a model has weights of a seed: for how long it takes, they are as good.
  if (o.command != "smoke" && o.command != "serve" && o.model.empty()) throw CLI::RequiredError("model");
  if (o.command == "check" && o.proof.empty()) throw CLI::RequiredError("proof");
  if (o.command == "serve") {
    Bench bench(o);
    bench.pack(bench.ctx);
    served::serve(work_of(bench, o),
                  concat("\"peer\": \"phonaut\", \"isa\": \"", phonaut::bench::name_of(bench.ctx.backend()),
                         "\", \"parameters\": ", parameter_count(bench.model)),
                  bench.ctx.backend());
  } else if (o.command == "memory") {
    for (const Case& c : o.cases) std::printf("%.1f\n", training_megabytes(o, c));
  } else if (o.command == "check") {
    return check(o) ? 0 : 1;
  } else {
    Options small = o;
    small.causal = true;
    small.cases = {{100, 2}};
    Bench bench(small);
    bench.pack(bench.ctx);
    for (const auto& [name, calls] : work_of(bench, small))
      for (int i = 0; i < 2; ++i) calls.front()();
    std::printf("%ld parameters, %.1f MB for a training step\n", parameter_count(bench.model),
                training_megabytes(small, small.cases[0]));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("The published Zipformer encoders, timed when asked", "phonaut-bench-zipformer");
  bench::add_command(app, o.command, {"serve", "memory", "check", "smoke"})->required();
  app.add_option("model", o.model, "weights, as peers/zipformer_peers.py writes them");
  app.add_option("proof", o.proof, "outputs and gradients that `check` expects");
  app.add_option("--size", o.size)->capture_default_str()->check(CLI::IsMember({"S", "M", "L"}));
  app.add_flag("--causal", o.causal, "attention within chunks, and streams");
  app.add_option_function<std::string>(
      "--cases", [&](const std::string& text) { o.cases = cases_of(text); }, "FRAMESxUTTERANCES,…");
  add_threads_option(app, o.threads);
  app.add_option("--precision", o.precision,
                 "of products: fp32, tf32 on a GPU, bf16, or int8: weights in bytes, to infer")
      ->capture_default_str()
      ->check(CLI::IsMember({"fp32", "tf32", "bf16", "int8"}));
  return bench::run_program(app, argc, argv, [&] { return run(o); });
}
