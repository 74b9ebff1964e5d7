// A Zipformer that learns from speech without labels, and a question to it: do its features know more than filterbanks?
//
//   ssl compare --out ssl           trains with two seeds, and prints the table of docs/ssl.md
//   ssl pretrain --out ssl          one seed: clusters of cepstra first, then clusters of what the first model hears
//   ssl probe --model ssl           a linear probe on frozen features, asked about speakers whom it never heard
//   ssl encode --model ssl/iteration2 in.wav y.npy   frames of a recording
//
// Exit status: 0 done, 1 an error (one sentence on standard error), 2 wrong usage, 130 stopped by a signal.
#include <fmt/format.h>
#include <phonaut/io/audio.hpp>
#include <phonaut/io/npy.hpp>

#include <CLI/CLI.hpp>
#include <iostream>

#include "common/computing.hpp"
#include "common/model_file.hpp"
#include "probe.hpp"
#include "training.hpp"

using namespace phonaut;
namespace fs = std::filesystem;

namespace {

struct Options {
  ModelConfig model;
  TrainConfig train;
  long iterations = 2, parts = 1, takes = 20, seeds = 2;
  std::string out = "ssl", probe_data = "fsdd_digits", model_file, in_file, out_file;
  long layer = -1;
  std::vector<std::string> folders;
  bool quick = false;
};

Context<B>& prepared(Context<B>& ctx, const Options& o) { return ::prepared(ctx, o.train.threads, o.train.precision); }

/// Every iteration of one seed, each in a folder of its own below `out`. False: a signal stopped it.
bool pretrain_seed(const Options& o, const Corpus& corpus, const fs::path& out) {
  std::shared_ptr<const Model> teacher;
  for (long i = 1; i <= o.iterations; ++i) {
    Context<B> ctx;  // memory and draws of its own
    prepared(ctx, o);
    Targets targets = Targets::of_cepstra(ctx, o.model);
    if (teacher) targets = Targets::of_layer(ctx, teacher, layer_at(o.model, o.train.target_layer), o.model);
    const fs::path folder = out / fmt::format("iteration{}", i);
    const Trained done =
        pretrain(ctx, o.model, o.train, corpus, std::move(targets), static_cast<int>(i), folder, std::cerr);
    if (!done.finished) {
      fmt::print("stopped; the same command goes on from {}\n", (folder / "latest.safetensors").string());
      return false;
    }
    fmt::print("{}: {} parameters, {} steps in {:.0f} s, right about {:.1f} % of hidden frames of the valid split\n",
               (folder / "model.safetensors").string(), done.facts["parameters"].get<long>(),
               done.facts["steps"].get<long>(), done.facts["seconds"].get<double>(),
               100 * done.facts["valid_accuracy"].get<double>());
    std::fflush(stdout);
    teacher = done.model;
  }
  return true;
}

int pretrain_one(const Options& o) { return pretrain_seed(o, load_corpus(o.train.data), o.out) ? 0 : 130; }

/// Prints the table of `folders`, each one a seed: how often a linear probe is right.
void print_table(const Options& o, const std::vector<std::string>& folders) {
  std::vector<fs::path> files;
  for (const auto& folder : folders)
    for (long i = 1; i == 1 || fs::exists(model_path((fs::path(folder) / fmt::format("iteration{}", i)).string())); ++i)
      files.push_back(model_path((fs::path(folder) / fmt::format("iteration{}", i)).string()));
  Context<B> ctx;
  prepared(ctx, o);
  const int rate = metadata_as<ModelConfig>(files.front(), "model").rate;
  const ProbeData data(load_corpus(o.probe_data), rate, o.takes);
  std::string speakers;
  for (long s = 0; s < data.speaker_count(); ++s) speakers += fmt::format(" {:>8}", data.speaker(s).substr(0, 8));
  fmt::print("{} recordings of {} classes by {} speakers; % right, each speaker unheard by the probe\n\n",
             data.classes().size(), data.class_count(), data.speaker_count());
  fmt::print("{:34} {:>6} {}   layers\n", "features", "mean", speakers);
  std::vector<std::pair<std::string, std::vector<double>>> means;  // of each kind, by seed
  const auto show = [&](const std::string& kind, const std::string& name, const std::vector<Pooled>& layers) {
    const ProbeScore score = probe(data, layers, host_threads(ctx));
    std::string each;
    for (const double a : score.each) each += fmt::format(" {:8.1f}", 100 * a);
    fmt::print("{:34} {:6.1f} {}   {}\n", name, 100 * score.accuracy, each, fmt::join(score.chosen, ", "));
    std::fflush(stdout);
    if (means.empty() || means.back().first != kind) {
      const auto known = std::find_if(means.begin(), means.end(), [&](const auto& m) { return m.first == kind; });
      if (known != means.end()) return known->second.push_back(score.accuracy);
      means.push_back({kind, {}});
    }
    means.back().second.push_back(score.accuracy);
  };
  for (const Plain& features : plain_features(ctx, rate))
    show(features.name, features.name, pool(ctx, data, {"-"}, o.parts, features.frames));
  for (const fs::path& file : files) {
    const Trained trained = read_model(ctx, file);
    const long iteration = trained.facts["iteration"].get<long>();
    const auto row = [&](const std::string& kind, const Model& model) {
      const auto picks = all_layers(trained.shape);
      std::vector<std::string> names;
      names.reserve(picks.size());
      for (const auto& pick : picks) names.push_back(name_of(pick));
      show(kind, fmt::format("{}, seed {}", kind, trained.config.seed),
           pool(ctx, data, names, o.parts, [&](const Waveform<B>& x) { return model.encode(x, picks); }));
    };
    if (iteration == 1) row("random weights", untrained(ctx, trained));
    row(fmt::format("iteration {}", iteration), *trained.model);
  }
  fmt::print("\n{:34} {:>6}   least to most of {} seeds\n", "", "mean", folders.size());
  for (const auto& [kind, values] : means) {
    double mean = 0;
    for (const double v : values) mean += 100 * v / static_cast<double>(values.size());
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    fmt::print("{:34} {:6.1f}   {:.1f} to {:.1f}\n", kind, mean, 100 * *least, 100 * *most);
  }
}

int compare(Options& o) {
  const Corpus corpus = load_corpus(o.train.data);
  std::vector<std::string> folders;
  for (long seed = 1; seed <= o.seeds; ++seed) {
    o.train.seed = static_cast<std::uint64_t>(seed);
    folders.push_back((fs::path(o.out) / fmt::format("seed{}", seed)).string());
    if (!pretrain_seed(o, corpus, folders.back())) return 130;
  }
  print_table(o, folders);
  return 0;
}

int encode(const Options& o) {
  Context<B> ctx;
  const Trained trained = read_model(prepared(ctx, o), model_path(o.model_file));
  const std::vector<float> x = read_audio(o.in_file, {.rate = trained.shape.rate}).samples;
  const auto n = static_cast<long>(x.size());
  const Waveform<B> wave = waveform_of(ctx, x, {n}, n, trained.shape.rate);
  const Sequence<B> y =
      o.layer < 0 ? (*trained.model)(wave) : trained.model->encode(wave, {layer_at(trained.shape, o.layer)})[0];
  const std::vector<float> values = values_of(y.frames);
  const std::vector<long> shape{y.time(), y.channels()};
  write_npy(o.out_file, shape, std::span<const float>(values));
  fmt::print("{}: {} frames of {} numbers at {} Hz\n", o.out_file, y.time(), y.channels(), y.rate);
  return 0;
}

void add_computing(CLI::App& app, Options& o) {
  add_device_option(app);
  add_computing_options(app, o.train.threads, o.train.precision);
}
void add_training_options(CLI::App& app, Options& o) {
  app.add_option("--data", o.train.data,
                 "a shipped set, a manifest, a folder or a sound file; labels are not looked at")
      ->capture_default_str();
  app.add_option("--out", o.out, "folder for what is written")->capture_default_str();
  app.add_option("--iterations", o.iterations, "models: each but the first predicts clusters of the one before")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--steps", o.train.steps, "optimiser steps of each")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--batch-seconds", o.train.batch_seconds, "audio per step, in seconds")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--learning-rate", o.train.learning_rate)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--classes", o.model.classes, "clusters that are predicted")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--target-layer", o.train.target_layer, "layer whose clusters the next model predicts, from 0")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--unmasked", o.train.unmasked_weight, "weight of the frames that are not hidden")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--noise", o.train.noise, "dB that the loudest noise stays below the speech")->capture_default_str();
  app.add_option("--speed", o.train.speed, "play recordings up to so much faster or slower")->capture_default_str();
  app.add_flag("--quick", o.quick, "a tiny budget, to see that everything works; the numbers mean nothing");
  add_computing(app, o);
}
void add_probe_options(CLI::App& app, Options& o, const char* data) {
  app.add_option(data, o.probe_data, "recordings with labels and speakers for the probe")->capture_default_str();
  app.add_option("--takes", o.takes, "recordings of each class by each speaker; 0: all")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--parts", o.parts, "parts of a recording that are averaged each for itself")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
}
/// The tiny budget; what was asked for by name stays.
void apply_quick(const CLI::App& app, Options& o) {
  if (!o.quick) return;
  if (app.count("--steps") == 0) o.train.steps = 12;
  if (app.count("--batch-seconds") == 0) o.train.batch_seconds = 4;
  if (app.count("--classes") == 0) o.model.classes = 12;
  o.model.stem = 24;
  o.model.dims = {24, 32, 24};
  o.model.layers = {1, 1, 1};
  o.model.feedforward = {32, 32, 32};
  if (app.count("--target-layer") == 0) o.train.target_layer = 1;
  o.train.cut_seconds = 2;
  o.train.warmup = 4;
  o.train.checkpoint_every = 4;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("A small Zipformer that learns from speech without labels, and a linear probe on what it has learned");
  app.require_subcommand(1);
  int status = 0;

  auto* c = app.add_subcommand("compare", "train with several seeds, and print how features, trained or not, compare");
  add_training_options(*c, o);
  c->add_option("--seeds", o.seeds)->capture_default_str()->check(CLI::PositiveNumber);
  add_probe_options(*c, o, "--probe-data");
  c->callback([&] { apply_quick(*c, o), status = compare(o); });

  auto* t = app.add_subcommand("pretrain", "train the models of one seed, or go on with training that was stopped");
  add_training_options(*t, o);
  t->add_option("--seed", o.train.seed)->capture_default_str();
  t->callback([&] { apply_quick(*t, o), status = pretrain_one(o); });

  auto* p = app.add_subcommand("probe", "ask a linear probe on frozen features about speakers whom it never heard");
  p->add_option("--model", o.folders, "folders that were trained into, one for each seed")->required();
  add_probe_options(*p, o, "--data");
  add_computing(*p, o);
  p->callback([&] { print_table(o, o.folders); });

  auto* n = app.add_subcommand("encode", "frames of a recording, as .npy");
  n->add_option("--model", o.model_file, "a folder with a model.safetensors, or that file")->required();
  n->add_option("--layer", o.layer, "of which layer, from 0; without it: of the whole encoder")
      ->check(CLI::NonNegativeNumber);
  n->add_option("input", o.in_file, "sound file")->required();
  n->add_option("output", o.out_file, ".npy")->required();
  add_computing(*n, o);
  n->callback([&] { status = encode(o); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "ssl: {}\n", error.what());
    return 1;
  }
  return status;
}
