// Training steps and inference passes of the flagship, timed when asked, and everything that another implementation
// needs to do the same work.
//
//   phonaut-bench-autoencoder serve  [--threads N] [--bottleneck sigreg|kl|none]   answers requests: served.hpp
//   phonaut-bench-autoencoder export FILE [--bottleneck …]    weights after a few steps, the batches, and one of
//                                                             several lengths with draws, losses and gradients
//   phonaut-bench-autoencoder smoke                           one step and one pass of a small batch
#include <phonaut/io/safetensors.hpp>
#include <phonaut/training/data.hpp>
#include <phonaut/training/trainer.hpp>

#include "autoencoder/objective.hpp"
#include "common/corpus.hpp"
#include "program.hpp"
#include "served.hpp"

using namespace phonaut;
using nlohmann::json;

namespace {

struct Options {
  std::string command, file;
  ModelConfig model;
  TrainConfig train;
  long batches = 4;
  int threads = 1;
};

/// The flagship in training, on a few batches which are read beforehand.
struct Flagship {
  Context<B> ctx;
  ModelConfig model_config;
  TrainConfig config;
  Autoencoder model, average;
  MultiScaleMel distance;
  Trainer<B> trainer;
  std::vector<Batch> batches;

  explicit Flagship(const Options& o)
      : ctx(B{}, o.train.seed),
        model_config(o.model),
        config(o.train),
        model(ctx, model_config),
        average(deep_copy(model, ctx.backend())),
        distance(ctx, model_config.rate),
        trainer(ctx, model, AdamW<B>(ctx.backend(), model, {.beta2 = 0.98, .weight_decay = config.weight_decay}),
                {.rate = ConstantSchedule{config.learning_rate}, .clip = config.clip}) {
    use_threads(ctx, o.threads);
    trainer.follow(Ema<B>(average, model, {.keep = ConstantSchedule{config.ema}}));
    DataLoader loader(load_corpus(config.data).split("train"), {.rate = model_config.rate,
                                                                .min_seconds = 0.14,
                                                                .max_seconds = 3600,
                                                                .batch_seconds = config.batch_seconds,
                                                                .seed = config.seed,
                                                                .prefetch = 0});
    for (long i = 0; i < o.batches; ++i) batches.push_back(*loader.next());
  }

  Waveform<B> waveform(const Batch& b) { return to_waveform(ctx, b.samples, b.lengths, b.time, model_config); }
  void step(const Batch& b) {
    ctx.train();
    Terms terms;
    trainer.step(objective(model, distance, waveform(b), config, terms));
  }
  void infer(const Batch& b) {
    ctx.infer();
    model.decode(model.bottleneck(model.encode(waveform(b))).value);
  }
};

/// Owns what a safetensors file is written from.
class Exported {
 public:
  void add(const std::string& name, std::vector<long> shape, std::vector<float> values) {
    entries_.push_back({name, std::move(shape), std::move(values)});
  }
  template <size_t R>
  void add(const std::string& name, const Var<B, R>& x) {
    add(name, {x.shape().begin(), x.shape().end()}, values_of(x));
  }
  void write(const std::string& file, const std::map<std::string, std::string>& metadata) const {
    std::vector<SafetensorsEntry> list;
    for (const auto& [name, shape, values] : entries_)
      list.push_back(safetensors_entry(name, shape, std::span<const float>(values)));
    write_safetensors(file, list, metadata);
  }

 private:
  struct Entry {
    std::string name;
    std::vector<long> shape;
    std::vector<float> values;
  };
  std::vector<Entry> entries_;
};

/// Two recordings of every batch. The loader's batches hold recordings of one length; these have several.
Batch mixed(const std::vector<Batch>& batches) {
  Batch all;
  for (const Batch& b : batches) all.time = std::max(all.time, b.time);
  for (const Batch& b : batches)
    for (long n = 0; n < std::min(2L, b.size()); ++n) {
      all.lengths.push_back(b.lengths[static_cast<size_t>(n)]);
      const auto from = b.samples.begin() + n * b.time;
      all.samples.insert(all.samples.end(), from, from + b.time);
      all.samples.resize(all.lengths.size() * static_cast<size_t>(all.time));
    }
  return all;
}

void export_to(const std::string& file, Flagship& f) {
  // Some steps bring the weights into general position: fresh biases and branches are nearly zero.
  for (int i = 0; i < 3; ++i) f.step(f.batches.back());
  Exported out;
  auto& ctx = f.ctx;
  const auto add_batch = [&](const std::string& name, const Waveform<B>& x) {
    out.add(name + "/samples", x.samples);
    std::vector<float> lengths;  // below 2^24, so exact
    for (long n = 0; n < x.batch(); ++n) lengths.push_back(static_cast<float>(x.length(n)));
    out.add(name + "/lengths", {x.batch()}, lengths);
  };
  for (size_t i = 0; i < f.batches.size(); ++i) add_batch(concat("batches/", i), f.waveform(f.batches[i]));
  for_each_param(f.model, [&](const std::string& name, const auto& p) { out.add("model/" + name, ctx.lift(p)); });

  // The draws that the objective is going to make, in its order.
  const Waveform<B> x = f.waveform(mixed(f.batches));
  add_batch("check", x);
  const Random before = ctx.random();
  ctx.infer();
  const Sequence<B> z = f.model.encode(x).value;
  if (f.model_config.bottleneck == "kl")
    out.add("check/noise", ctx.constant(random_normal(ctx, z.frames.shape(), ctx.random().take(z.frames.size()))));
  if (f.model_config.bottleneck == "sigreg")
    out.add("check/slices", ctx.constant(random_slices(ctx, z.channels(), f.config.slices)));
  const std::vector<char> hidden = draw_hidden(z, f.config.mask_share, f.config.mask_span);
  out.add("check/hidden", {z.batch(), z.time()}, {hidden.begin(), hidden.end()});
  ctx.random() = before;

  ctx.train();
  Terms terms;
  const Var<B, 0> loss = objective(f.model, f.distance, x, f.config, terms);
  json found{{"loss", item(loss)},
             {"reconstruction", terms.reconstruction},
             {"semantic", terms.semantic},
             {"regulariser", terms.regulariser},
             {"parameters", parameter_count(f.model)}};
  const auto gradients = ctx.backward(loss);
  for_each_param(f.model, [&](const std::string& name, const auto& p) {
    const auto g = gradients.has(p) ? gradients[p] : ctx.zeros(p.shape());
    out.add("gradients/" + name, ctx.constant(g));
  });
  out.write(file, {{"model", json(f.model_config).dump()},
                   {"training", json(f.config).dump()},
                   {"batches", std::to_string(f.batches.size())},
                   {"terms", found.dump()}});
}

int run(const Options& o) {
  if (o.command == "export" && o.file.empty()) throw CLI::RequiredError("file");
  Flagship f(o);
  if (o.command == "export") {
    export_to(o.file, f);
    return 0;
  }
  if (o.command == "smoke") {
    f.step(f.batches.front());
    f.infer(f.batches.front());
    std::printf("one step and one pass of %ld recordings\n", f.batches.front().size());
    return 0;
  }
  served::Work work;
  for (const Batch& b : f.batches) {
    work["train"].push_back([&f, &b] { f.step(b); });
    work["infer"].push_back([&f, &b] { f.infer(b); });
  }
  served::serve(work,
                concat("\"peer\": \"phonaut\", \"isa\": \"", bench::name_of(f.ctx.backend()),
                       "\", \"parameters\": ", parameter_count(f.model)),
                f.ctx.backend());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("The flagship, timed when asked", "phonaut-bench-autoencoder");
  bench::add_command(app, o.command, {"serve", "export", "smoke"})->required();
  app.add_option("file", o.file, "that `export` writes");
  app.add_option("--bottleneck", o.model.bottleneck)
      ->capture_default_str()
      ->check(CLI::IsMember({"sigreg", "kl", "none"}));
  add_threads_option(app, o.threads);
  return bench::run_program(app, argc, argv, [&] {
    if (o.command == "smoke") {
      o.batches = 1;
      o.train.batch_seconds = 2;
    }
    return run(o);
  });
}
