// A continuous-latent speech autoencoder, and the question it asks: can geometric regularisation (SIGReg) replace KL?
//
//   autoencoder compare --out report                     trains SIGReg, KL and none alike, writes report.html
//   autoencoder train --out run --data my.tsv            trains one; after Ctrl-C the same command goes on
//   autoencoder evaluate --model run                     measures it on the test split
//   autoencoder encode --model run in.wav z.npy          latents of a recording
//   autoencoder reconstruct --model run in.wav out.wav   the recording as it comes back
//
// `--device cuda` computes on a GPU: autoencoder-cuda, the same program for CUDA, goes on with the command.
//
// Exit status: 0 done, 1 an error (one sentence on standard error), 2 wrong usage, 130 stopped by a signal.
#include <fmt/format.h>
#include <phonaut/io/audio.hpp>
#include <phonaut/io/npy.hpp>
#include <phonaut/training/checkpoint.hpp>

#include <CLI/CLI.hpp>
#include <iostream>

#include "common/computing.hpp"
#include "common/model_file.hpp"
#include "evaluation.hpp"

using namespace phonaut;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

struct Options {
  ModelConfig model;
  TrainConfig train;
  std::vector<std::string> bottlenecks = {"sigreg", "kl", "none"};
  int seeds = 2;
  bool quick = false;
  std::string out = "report", model_file, in_file, out_file;
  std::string command;  ///< as it was typed
};

Context<B>& prepared(Context<B>& ctx, const Options& o) { return ::prepared(ctx, o.train.threads, o.train.precision); }

/// The tiny budget; what was asked for by name stays.
void apply_quick(const CLI::App& app, Options& o) {
  if (!o.quick) return;
  if (app.count("--steps") == 0) o.train.steps = 12;
  if (app.count("--batch-seconds") == 0) o.train.batch_seconds = 4;
  if (app.count("--dim") == 0) o.model.dim = 48;
  o.model.feedforward = 2 * o.model.dim;
  o.train.warmup = 4;
  o.train.checkpoint_every = 6;
}

int train_one(Options& o) {
  Context<B> ctx;
  const Corpus corpus = load_corpus(o.train.data);
  o.model.rate = corpus.rate;
  const Trained done = train(prepared(ctx, o), o.model, o.train, corpus, o.out, std::cerr);
  if (!done.finished) {
    fmt::print("stopped; the same command goes on from {}/latest.safetensors\n", o.out);
    return 130;
  }
  fmt::print("{}: {} parameters, {:.3f} s per step, {:.0f} MB\n", model_path(o.out).string(),
             done.facts["parameters"].get<long>(), done.facts["seconds_per_step"].get<double>(),
             done.facts["peak_mb"].get<double>());
  return 0;
}

int evaluate_one(const Options& o) {
  Context<B> ctx;
  Trained trained = read_model(prepared(ctx, o), model_path(o.model_file));
  const Corpus corpus = load_corpus(o.train.data.empty() ? trained.config.data : o.train.data);
  const fs::path folder = fs::path(o.out) / "wavs" / trained.model.config.bottleneck;
  const Run run = evaluate(ctx, trained, corpus, folder);
  fmt::print("{}\n", run.metrics.dump(2));
  return 0;
}

int encode_one(const Options& o) {
  Context<B> ctx;
  Trained trained = read_model(prepared(ctx, o), model_path(o.model_file));
  const std::vector<float> x = read_mono(o.in_file, trained.model.config.rate);
  const auto n = static_cast<long>(x.size());
  const Sequence<B> z = trained.model.encode(to_waveform(ctx, x, {n}, n, trained.model.config)).value;
  const std::vector<float> values = values_of(z.frames);
  const std::vector<long> shape{z.time(), z.channels()};
  if (fs::path(o.out_file).extension() == ".safetensors") {
    const std::vector<SafetensorsEntry> entries{safetensors_entry("latents", shape, std::span<const float>(values))};
    write_safetensors(o.out_file, entries, {{"rate", fmt::format("{}", z.rate)}});
  } else {
    write_npy(o.out_file, shape, std::span<const float>(values));
  }
  fmt::print("{}: {} frames of {} numbers at {} Hz\n", o.out_file, z.time(), z.channels(), z.rate);
  return 0;
}

int reconstruct_one(const Options& o) {
  Context<B> ctx;
  Trained trained = read_model(prepared(ctx, o), model_path(o.model_file));
  const std::vector<float> y = reconstruct(ctx, trained.model, read_mono(o.in_file, trained.model.config.rate));
  write_audio(o.out_file, y, trained.model.config.rate);
  fmt::print("{}: {:.2f} s at {} Hz\n", o.out_file, static_cast<double>(y.size()) / trained.model.config.rate,
             trained.model.config.rate);
  return 0;
}

int compare(Options& o) {
  Context<B> ctx;
  prepared(ctx, o);
  const Corpus corpus = load_corpus(o.train.data);
  o.model.rate = corpus.rate;
  Report report;
  report.baseline = trivial_baseline(ctx, o.model, corpus);
  for (int seed = 1; seed <= o.seeds; ++seed)
    for (const std::string& bottleneck : o.bottlenecks) {
      Options mine = o;
      mine.model.bottleneck = bottleneck;
      mine.train.seed = static_cast<std::uint64_t>(seed);
      const std::string name = fmt::format("{}-{}", bottleneck, seed);
      Context<B> own;  // memory and draws of its own
      prepared(own, o);
      Trained trained = train(own, mine.model, mine.train, corpus, fs::path(o.out) / "runs" / name, std::cerr);
      if (!trained.finished) {
        fmt::print("stopped; the same command goes on where it was\n");
        return 130;
      }
      Run run = evaluate(own, trained, corpus, fs::path(o.out) / "wavs" / name);
      fmt::print(
          "{:12} mel distance {:.3f} (mean frame {:.3f}), class probe {:.1f} %, effective rank {:.1f}, {:.3f} s per "
          "step\n",
          name, run.metrics["mel_distance"].get<double>(), report.baseline["mel_distance"].get<double>(),
          run.metrics.value("digit_probe", 0.0), run.metrics["effective_rank"].get<double>(),
          run.training["seconds_per_step"].get<double>());
      std::cout.flush();
      report.runs.push_back(std::move(run));
    }
  const auto seconds = [&](const char* split) {
    double total = 0;
    for (const auto& u : corpus.split(split)) total += u.seconds;
    return total;
  };
  report.about = {
      {"data", fmt::format("{}: {} recordings, {:.1f} / {:.1f} / {:.1f} minutes of train / valid / test{}", corpus.name,
                           corpus.all.size(), seconds("train") / 60, seconds("valid") / 60, seconds("test") / 60,
                           corpus.speakers_disjoint ? ", test speakers unheard in training"
                                                    : ", speakers shared between splits")},
      {"model", json(o.model).dump()},
      {"parameters", report.runs.front().training["parameters"]},
      {"budget", fmt::format("{} steps of {} s of audio, {} seeds", o.train.steps, o.train.batch_seconds, o.seeds)},
      {"training", json(o.train).dump()},
      {"machine", computing_text(ctx)},
      {"command", o.command}};
  report.write(o.out);
  fmt::print("{}\n", fs::absolute(fs::path(o.out) / "report.html").lexically_normal().string());
  return 0;
}

void add_training_options(CLI::App& app, Options& o) {
  app.add_option(
         "--data", o.train.data,
         "a shipped set (fsdd_digits, bengali, librispeech_mini, arabic_digits), a manifest, a folder or a sound file")
      ->capture_default_str();
  app.add_option("--out", o.out, "folder for what is written")->capture_default_str();
  app.add_option("--steps", o.train.steps, "optimiser steps")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--batch-seconds", o.train.batch_seconds, "audio per step, in seconds")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--learning-rate", o.train.learning_rate)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--accumulate", o.train.accumulate, "batches per step")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--weight", o.train.regulariser_weight, "weight of the regulariser; 0: that of the bottleneck")
      ->capture_default_str();
  app.add_option("--semantic", o.train.semantic_weight, "weight of masked latent prediction; 0 switches it off")
      ->capture_default_str();
  app.add_option("--latent", o.model.latent, "numbers per latent frame")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--dim", o.model.dim, "channels of the Zipformer stacks")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_flag("--quick", o.quick, "a tiny budget, to see that everything works; the numbers mean nothing");
}
void add_computing(CLI::App& app, Options& o) {
  add_device_option(app);
  add_computing_options(app, o.train.threads, o.train.precision);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  for (int i = 0; i < argc; ++i)
    o.command += (i ? " " : "") + (i ? std::string(argv[i]) : fs::path(argv[0]).filename().string());
  CLI::App app("A continuous-latent speech autoencoder: SIGReg, KL and no regulariser side by side");
  app.require_subcommand(1);
  int status = 0;
  const auto kinds = CLI::IsMember({"sigreg", "kl", "none", "rvq", "fsq"});

  auto* c = app.add_subcommand("compare", "train every bottleneck with the same budget and write a report");
  add_training_options(*c, o);
  add_computing(*c, o);
  c->add_option("--bottlenecks", o.bottlenecks, "sigreg, kl, none, rvq, fsq")
      ->capture_default_str()
      ->delimiter(',')
      ->check(kinds);
  c->add_option("--seeds", o.seeds, "models per bottleneck")->capture_default_str()->check(CLI::PositiveNumber);
  c->callback([&] { apply_quick(*c, o), status = compare(o); });

  auto* t = app.add_subcommand("train", "train one model, or go on with one that was stopped");
  add_training_options(*t, o);
  add_computing(*t, o);
  t->add_option("--bottleneck", o.model.bottleneck)->capture_default_str()->check(kinds);
  t->add_option("--seed", o.train.seed)->capture_default_str();
  t->callback([&] { apply_quick(*t, o), status = train_one(o); });

  auto* e = app.add_subcommand("evaluate", "measure a model on the test split");
  e->add_option("--model", o.model_file, "a folder that was trained into, or its model.safetensors")->required();
  e->add_option("--data", o.train.data, "other data than the model was trained on");
  e->add_option("--out", o.out)->capture_default_str();
  add_computing(*e, o);
  e->callback([&] {
    if (e->count("--data") == 0) o.train.data.clear();
    status = evaluate_one(o);
  });

  auto* n = app.add_subcommand("encode", "latents of a recording, as .npy or .safetensors");
  n->add_option("--model", o.model_file)->required();
  n->add_option("input", o.in_file, "sound file")->required();
  n->add_option("output", o.out_file, ".npy or .safetensors")->required();
  add_computing(*n, o);
  n->callback([&] { status = encode_one(o); });

  auto* r = app.add_subcommand("reconstruct", "a recording through encoder and decoder");
  r->add_option("--model", o.model_file)->required();
  r->add_option("input", o.in_file, "sound file")->required();
  r->add_option("output", o.out_file, ".wav or .flac")->required();
  add_computing(*r, o);
  r->callback([&] { status = reconstruct_one(o); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "autoencoder: {}\n", error.what());
    return 1;
  }
  return status;
}
