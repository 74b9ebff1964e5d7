// What products in bf16, or with weights in bytes, cost in accuracy and bring in speed: matrix products and whole
// models, beside fp32 in turn.
//
//   phonaut-bench-precision [--lower bf16|int8] [--threads N] [--rounds N] [--only WORD] [--weights NAME=FILE]…
//   phonaut-bench-precision smoke
//
// Prints the tables of docs/precision.md; in int8 all weights are packed, and nothing is trained. --only leaves out
// rows without the word in their name. Models have weights of a seed unless --weights names a file: zipformer-s,
// zipformer-m, ssl (safetensors), autoencoder (a trained folder or its model.safetensors).
#include <phonaut/core/packed_weights.hpp>
#include <phonaut/io/safetensors.hpp>
#include <phonaut/models/zipformer_ssl.hpp>
#include <phonaut/training/checkpoint.hpp>
#include <phonaut/training/data.hpp>

#include <time.h>

#include <cmath>
#include <map>

#include "autoencoder/objective.hpp"
#include "autoencoder/training.hpp"
#include "common/corpus.hpp"
#include "common/model_file.hpp"
#include "program.hpp"

using namespace phonaut;

namespace {

struct Options {
  int threads = 1, rounds = 15;
  Precision lower = Precision::bf16;
  bool smoke = false;
  std::string only;
  std::map<std::string, std::string> weights;

  bool wants(const std::string& name) const { return name.find(only) != std::string::npos; }
  bool bytes() const { return lower == Precision::int8; }
};

/// Least seconds of a call in fp32 and in the lower precision, taken in turn.
struct Times {
  double full = 1e30, lower = 1e30;
  double ratio() const { return full / lower; }
};

/// Seconds: with one thread those that it had a processor, so that others on the machine count less.
double now(const Options& o) {
  timespec t{};
  clock_gettime(o.threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// `call` must compute with the context's precision.
Times time_both(Context<B>& ctx, const Options& o, const std::function<void()>& call) {
  Times best;
  for (int round = 0; round <= o.rounds; ++round)  // the first fills pools and caches
    for (const Precision precision : {Precision::fp32, o.lower}) {
      ctx.precision(precision);
      const double start = now(o);
      call();
      const double spent = now(o) - start;
      double& least = precision == Precision::fp32 ? best.full : best.lower;
      if (round > 0 || o.rounds == 0) least = std::min(least, spent);
    }
  return best;
}

struct Difference {
  double largest = 0, most = 0, squares = 0, reference = 0;
  void add(const std::vector<float>& full, const std::vector<float>& lower) {
    for (size_t i = 0; i < full.size(); ++i) {
      const double want = static_cast<double>(full[i]), off = static_cast<double>(lower[i]) - want;
      largest = std::max(largest, std::fabs(off));
      most = std::max(most, std::fabs(want));
      squares += off * off;
      reference += want * want;
    }
  }
  double relative() const { return std::sqrt(squares / std::max(reference, 1e-300)); }
};

/// Outputs in the lower precision against those in fp32.
Difference compare(Context<B>& ctx, const Options& o, const std::function<std::vector<float>()>& output) {
  ctx.precision(Precision::fp32);
  const auto full = output();
  ctx.precision(o.lower);
  Difference d;
  d.add(full, output());
  return d;
}

// ---- matrix products ----

struct Shape3 {
  const char* name;
  long m, n, k;
  char layout;          ///< l: linear forward (b by columns), i: gradient of its input, w: of its weight (a by columns)
  bool packed = false;  ///< b was packed before
};

struct OneMatrix {
  Param<B, 2> weight;
  static void visit(auto& self, auto&& f) { f("weight", self.weight); }
};

void product_table(const Options& o) {
  static constexpr Shape3 shapes[] = {
      {"square", 1024, 1024, 1024, 'l'},
      {"feed-forward in", 500, 1536, 512, 'l'},
      {"feed-forward out", 500, 512, 1536, 'l'},
      {"feed-forward, gradient of the input", 500, 512, 1536, 'i'},
      {"feed-forward, gradient of the weight", 1536, 512, 500, 'w'},
      {"batch of 8", 4000, 1024, 384, 'l'},
      {"flagship's feed-forward", 600, 256, 96, 'l'},
      {"flagship's projection", 600, 96, 256, 'l'},
      {"attention scores", 500, 500, 32, 'l'},
      {"attention values", 500, 48, 500, 'i'},
      {"feed-forward in, weights packed", 500, 1536, 512, 'l', true},
      {"a second of a stream", 50, 1536, 512, 'l'},
      {"a second of a stream, weights packed", 50, 1536, 512, 'l', true},
      {"16 frames of a stream", 16, 1536, 512, 'l'},
      {"16 frames of a stream, weights packed", 16, 1536, 512, 'l', true},
      {"one frame", 1, 1536, 512, 'l'},
      {"one frame, weights packed", 1, 1536, 512, 'l', true},
  };
  std::printf(
      "| product | m × n × k | fp32, GFLOP/s | %s, GFLOP/s | speed-up | relative error "
      "|\n|---|---|---|---|---|---|\n",
      name_of(o.lower));
  for (const Shape3& s : shapes) {
    if (!o.wants(s.name) || (o.bytes() && (s.layout != 'l' || s.packed))) continue;
    const long m = o.smoke ? std::min(s.m, 20L) : s.m;
    Context<B> ctx(B{}, 1);
    ctx.threads(o.threads);
    const auto a = draw<float>(ctx, m * s.k, Init::normal(1));
    const OneMatrix b{make_param(ctx, Shape<2>{s.n, s.k}, Init::normal(1))};
    const PackedWeights packed(b, o.lower);
    if (s.packed || o.bytes()) ctx.packed(&packed);
    std::vector<float> c(static_cast<size_t>(m * s.n));
    const kernel::Gemm<float> g{.m = m,
                                .n = s.n,
                                .k = s.k,
                                .a = a.data(),
                                .a_row = s.layout == 'w' ? 1 : s.k,
                                .a_col = s.layout == 'w' ? m : 1,
                                .b = b.weight.tensor().data(),
                                .b_row = s.layout == 'l' ? 1 : s.n,
                                .b_col = s.layout == 'l' ? s.k : 1,
                                .c = c.data(),
                                .c_row = s.n};
    const double flops = 2.0 * static_cast<double>(m * s.n) * static_cast<double>(s.k);
    const long calls = o.smoke ? 1 : std::max(1L, static_cast<long>(4e8 / flops));
    const Times t = time_both(ctx, o, [&] {
      for (long i = 0; i < calls; ++i) kernel::gemm(ctx.backend(), g);
    });
    const Difference d = compare(ctx, o, [&] {
      kernel::gemm(ctx.backend(), g);
      return c;
    });
    const double work = 1e-9 * flops * static_cast<double>(calls);
    std::printf("| %s | %ld × %ld × %ld | %.0f | %.0f | **%.2f** | %.1e |\n", s.name, m, s.n, s.k, work / t.full,
                work / t.lower, t.ratio(), d.relative());
    std::fflush(stdout);
  }
}

// ---- models ----

void print_row(const std::string& name, const Times& t, const Difference& d) {
  std::printf("| %s | %.1f | %.1f | **%.2f** | %.1e of %.2g | %.1e |\n", name.c_str(), 1e3 * t.full, 1e3 * t.lower,
              t.ratio(), d.largest, d.most, d.relative());
  std::fflush(stdout);
}

template <class Model>
void load_if_given(const Options& o, const std::string& name, Model& model, const LoadOptions& options = {}) {
  if (const auto file = o.weights.find(name); file != o.weights.end()) load(file->second, model, options);
}

/// The gradients of all weights, one after the other.
template <class Model>
std::vector<float> slopes_of(Context<B>& ctx, const Model& model, const Gradients<B>& gradients) {
  std::vector<float> slopes;
  for_each_param(model, [&](const std::string&, const auto& p) {
    if (!gradients.has(p)) return;
    const auto g = values_of(ctx, gradients[p]);
    slopes.insert(slopes.end(), g.begin(), g.end());
  });
  return slopes;
}

void zipformer_rows(const Options& o, const std::string& size, const ZipformerConfig& config) {
  const std::string name = "zipformer-" + size;
  if (!o.wants(name)) return;
  Context<B> ctx(B{}, 1);
  ctx.threads(o.threads);
  ZipformerEncoder<B> model(ctx, {.encoder = config.with_training(ZipformerTraining::off())});
  load_if_given(o, name, model);
  const long frames = o.smoke ? 100 : 1000;
  const auto features = input(ctx, Shape<3>{1, frames, 80}, draw<float>(ctx, frames * 80, Init::normal(1)));
  const auto forward = [&] { return model({features, {}, 100}).frames; };
  const PackedWeights packed(model, o.lower);
  if (o.bytes()) ctx.packed(&packed);
  print_row(name + ", forward, 10 s", time_both(ctx, o, [&] { forward(); }),
            compare(ctx, o, [&] { return values_of(forward()); }));
  ctx.packed(nullptr);
  if (o.bytes()) return;

  const auto weights = input(ctx, forward().shape(), draw<float>(ctx, forward().size(), Init::normal(1)));
  Gradients<B> gradients;
  const auto back = [&] {
    ctx.train();
    gradients.clear();
    ctx.backward(sum(forward() * weights), gradients);
    ctx.infer();
  };
  print_row(name + ", forward and gradients of its weights", time_both(ctx, o, back), compare(ctx, o, [&] {
              back();
              return slopes_of(ctx, model, gradients);
            }));
}

/// Chunks of 32 frames, 0.64 s, of a causal encoder that keeps its states.
void stream_rows(const Options& o, const std::string& size, const ZipformerConfig& config) {
  const std::string name = "zipformer-" + size + ", a chunk of a stream";
  if (!o.wants(name)) return;
  const Chunking chunking{.frames = 32, .left = 128};
  Context<B> ctx(B{}, 1);
  ctx.threads(o.threads);
  ZipformerEncoder<B> model(ctx, {.encoder = config.causal().with_training(ZipformerTraining::off())});
  load_if_given(o, "zipformer-" + size + "-causal", model);
  const auto noise = [&](long frames) {
    return input(ctx, Shape<3>{1, frames, 80}, draw<float>(ctx, frames * 80, Init::normal(1)));
  };
  const auto ahead = noise(13), chunk = noise(2 * chunking.frames);  // what the stem looks ahead comes first
  const PackedWeights packed(model, o.lower);
  for (const bool pack : {false, true}) {
    if (o.bytes() && !pack) continue;
    ctx.packed(pack ? &packed : nullptr);
    auto state = model.start(1, chunking);
    model({ahead, {}, 100}, state);
    const Times t = time_both(ctx, o, [&] { model({chunk, {}, 100}, state); });
    const Difference d = compare(ctx, o, [&] {
      auto fresh = model.start(1, chunking);
      model({ahead, {}, 100}, fresh);
      return values_of(model({chunk, {}, 100}, fresh).frames);
    });
    print_row(name + (pack ? ", weights packed" : ""), t, d);
  }
}

void ssl_row(const Options& o) {
  if (!o.wants("ssl")) return;
  Context<B> ctx(B{}, 1);
  ctx.threads(o.threads);
  ZipformerSsl<B>::Config config;
  config.encoder = config.encoder.with_training(ZipformerTraining::off());
  ZipformerSsl<B> model(ctx, config);
  load_if_given(o, "ssl", model, {.axes = icefall_ssl_axes});
  const long samples = o.smoke ? 8000 : 160000;
  const Waveform<B> x{input(ctx, Shape<2>{1, samples}, draw<float>(ctx, samples, Init::normal(1))), {}, 16000};
  const auto forward = [&] { return model(x).frames; };
  const PackedWeights packed(model, o.lower);
  if (o.bytes()) ctx.packed(&packed);
  print_row("ssl, forward, 10 s of waveform", time_both(ctx, o, [&] { forward(); }),
            compare(ctx, o, [&] { return values_of(forward()); }));
}

void autoencoder_rows(const Options& o) {
  if (!o.wants("autoencoder")) return;
  Context<B> ctx(B{}, 1);
  ctx.threads(o.threads);
  const auto given = o.weights.find("autoencoder");
  const TrainConfig train;
  const Autoencoder model =
      given == o.weights.end() ? Autoencoder(ctx, ModelConfig{}) : read_model(ctx, model_path(given->second)).model;
  const MultiScaleMel distance(ctx, model.config.rate);
  DataLoader loader(load_corpus(train.data).split("train"), {.rate = model.config.rate,
                                                             .min_seconds = 0.14,
                                                             .max_seconds = 3600,
                                                             .batch_seconds = o.smoke ? 2 : train.batch_seconds,
                                                             .seed = 1,
                                                             .prefetch = 0});
  const Batch batch = *loader.next();
  const Waveform<B> x = to_waveform(ctx, batch.samples, batch.lengths, batch.time, model.config);
  const auto latents = [&] { return model.encode(x); };
  const auto sound = [&] { return model.decode(model.bottleneck(latents()).value).samples; };
  const PackedWeights packed(model, o.lower);
  if (o.bytes()) ctx.packed(&packed);
  print_row("autoencoder, latents", time_both(ctx, o, [&] { latents(); }),
            compare(ctx, o, [&] { return values_of(latents().value.frames); }));
  print_row("autoencoder, waveform to waveform", time_both(ctx, o, [&] { sound(); }),
            compare(ctx, o, [&] { return values_of(sound()); }));
  ctx.packed(nullptr);
  if (o.bytes()) return;

  Gradients<B> gradients;
  const Random draws = ctx.random();
  double loss = 0;
  const auto back = [&] {
    ctx.random() = draws;  // the same hidden frames and slices each time
    ctx.train();
    gradients.clear();
    Terms terms;
    const auto value = objective(model, distance, x, train, terms);
    loss = item(value);
    ctx.backward(value, gradients);
    ctx.infer();
  };
  print_row("autoencoder, training step without optimiser: gradients", time_both(ctx, o, back), compare(ctx, o, [&] {
              back();
              return slopes_of(ctx, model, gradients);
            }));
}

int run(const Options& o) {
  const B cpu;
  const bool widest = cpu.isa == Isa::avx512;
  const char* unit =
      o.bytes() ? (widest && cpu.vnni ? "avx512_vnni" : "16 bits") : name_of(widest ? cpu.bf16_unit : Bf16Unit::none);
  std::printf("%s, %s by %s, %d thread%s, least %s of %d rounds in turn\n\n", name_of(cpu.isa), name_of(o.lower), unit,
              o.threads, o.threads == 1 ? "" : "s", o.threads == 1 ? "processor time" : "time", std::max(1, o.rounds));
  product_table(o);
  std::printf(
      "\n| model | fp32, ms | %s, ms | speed-up | largest error | relative error |\n|---|---|---|---|---|---|\n",
      name_of(o.lower));
  autoencoder_rows(o);
  if (!o.smoke) {
    zipformer_rows(o, "s", ZipformerConfig::small());
    zipformer_rows(o, "m", ZipformerConfig::medium());
    stream_rows(o, "s", ZipformerConfig::small());
    stream_rows(o, "m", ZipformerConfig::medium());
    ssl_row(o);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  std::string command, lower = name_of(o.lower);
  CLI::App app("Errors and speed of products in lower precision", "phonaut-bench-precision");
  bench::add_command(app, command, {"smoke"});
  app.add_option("--lower", lower, "precision beside fp32")
      ->capture_default_str()
      ->check(CLI::IsMember({"bf16", "int8"}));
  app.add_option("--threads", o.threads)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--rounds", o.rounds, "in turn, of which the least time counts")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--only", o.only, "rows with this word in their name");
  app.add_option_function<std::vector<std::string>>(
         "--weights",
         [&](const std::vector<std::string>& given) {
           for (const std::string& one : given) {
             const size_t at = one.find('=');
             if (at == std::string::npos) throw CLI::ValidationError("--weights", "wants NAME=FILE, not '" + one + "'");
             o.weights[one.substr(0, at)] = one.substr(at + 1);
           }
         },
         "NAME=FILE: weights of a model, which otherwise are drawn")
      ->allow_extra_args(false);
  return bench::run_program(app, argc, argv, [&] {
    if (command == "smoke") o.smoke = true, o.rounds = 0;
    o.lower = precision_named(lower.c_str());
    return run(o);
  });
}
