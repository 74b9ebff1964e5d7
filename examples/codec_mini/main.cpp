// A neural codec of speech: a small causal SEANet with residual vector quantization, trained in minutes against
// discriminators.
//
//   codec_mini train --out codec                          trains, then measures on speakers it never heard
//   codec_mini evaluate --model codec                     measures again
//   codec_mini encode --model codec speech.wav speech.phnc --kbps 1.6
//   codec_mini decode --model codec speech.phnc heard.wav
//
// `--device cuda` behind any of them computes on a GPU: codec_mini-cuda, the same program for CUDA, goes on with it.
//
// Exit status: 0 done, 1 an error (one sentence on standard error), 2 wrong usage, 130 stopped by a signal.
#include <fmt/format.h>
#include <phonaut/io/audio.hpp>

#include <CLI/CLI.hpp>
#include <iostream>

#include "common/computing.hpp"
#include "common/model_file.hpp"
#include "measure.hpp"

using namespace phonaut;

namespace {

struct Options {
  ModelConfig model;
  TrainConfig train;
  std::string out = "codec", model_file, in_file, out_file;
  double kbps = 0;
  bool quick = false;
  int threads = 0;
  std::string precision = "fp32";
};

Context<B>& prepared(Context<B>& ctx, const Options& o) { return ::prepared(ctx, o.threads, o.precision); }

int train_one(const Options& o) {
  Context<B> ctx;
  const Trained done = train(prepared(ctx, o), o.model, o.train, o.out, std::cerr);
  if (!done.finished) {
    fmt::print("stopped; the same command goes on from {}/latest.safetensors\n", o.out);
    return 130;
  }
  fmt::print("{}: {} parameters, {} steps in {:.0f} s\n", model_path(o.out).string(),
             done.facts["parameters"].get<long>(), done.facts["steps"].get<long>(),
             done.facts["seconds"].get<double>());
  report(ctx, done, o.out);
  return 0;
}

int evaluate_one(const Options& o) {
  Context<B> ctx;
  Trained trained = read_model(prepared(ctx, o), model_path(o.model_file));
  if (!o.train.data.empty()) trained.config.data = o.train.data;
  report(ctx, trained, o.out);
  return 0;
}

int encode_one(const Options& o) {
  Context<B> ctx;
  const auto path = model_path(o.model_file);
  const Codec codec = read_model(prepared(ctx, o), path).model;
  const auto samples = read_audio(o.in_file, {.rate = codec.config.rate}).samples;
  const CodeFile file = encode(ctx, codec, samples, codec.levels_for(o.kbps), codec.fingerprint());
  write_code_file(o.out_file, file);
  const double seconds = static_cast<double>(samples.size()) / codec.config.rate;
  fmt::print("{}: {:.2f} s, {} bytes, {:.2f} kbit/s\n", o.out_file, seconds, std::filesystem::file_size(o.out_file),
             codec.kbps(file.levels));
  return 0;
}

int decode_one(const Options& o) {
  Context<B> ctx;
  const auto path = model_path(o.model_file);
  const CodeFile file = read_code_file(o.in_file);
  const Codec codec = read_model(prepared(ctx, o), path).model;
  if (const auto own = codec.fingerprint(); own != file.model)
    throw ConfigError(fmt::format("codec: {} was encoded by the model {:08x}, but {} is the model {:08x}", o.in_file,
                                  file.model, path.string(), own));
  const auto samples = decode(ctx, codec, file);
  const long clipped = write_audio(o.out_file, samples, codec.config.rate);
  fmt::print("{}: {:.2f} s{}\n", o.out_file, static_cast<double>(samples.size()) / codec.config.rate,
             clipped > 0 ? fmt::format(", {} samples were too loud and clipped", clipped) : "");
  return 0;
}

void add_computing(CLI::App& to, Options& o) {
  add_device_option(to);
  add_computing_options(to, o.threads, o.precision);
}
void add_model(CLI::App& to, Options& o) {
  to.add_option("--model", o.model_file, "folder of a training, or its model.safetensors")->required();
  add_computing(to, o);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("A neural codec of speech: a small causal SEANet with residual vector quantization");
  app.require_subcommand(1);
  int status = 0;

  auto* t = app.add_subcommand("train", "train a codec, or go on with one that was stopped, and measure it");
  t->add_option("--data", o.train.data, "shipped sets or manifests")->capture_default_str();
  t->add_option("--out", o.out, "folder for what is written")->capture_default_str();
  t->add_option("--steps", o.train.steps)->capture_default_str()->check(CLI::PositiveNumber);
  t->add_option("--recordings", o.train.recordings, "recordings in a batch")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  t->add_option("--seconds", o.train.seconds, "of each recording in a batch")
      ->capture_default_str()
      ->check(CLI::Range(0.4, 30.0));
  t->add_option("--speed", o.train.speed, "play recordings up to so much faster or slower")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 0.5));
  t->add_option("--tilt", o.train.tilt, "how much the filters of microphones and rooms vary")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  t->add_option("--gain", o.train.gain, "make recordings up to so many dB louder or softer")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 40.0));
  t->add_option("--learning-rate", o.train.learning_rate)->capture_default_str()->check(CLI::PositiveNumber);
  t->add_option("--adversarial-from", o.train.adversarial_from,
                "share of the training behind which discriminators take part; 1: never")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  t->add_option("--mel", o.train.mel, "weight of the mel distance")->capture_default_str()->check(CLI::PositiveNumber);
  t->add_option("--wave", o.train.wave, "weight of the difference between waveforms")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  t->add_option("--judged", o.train.judged, "weight of what the discriminators say and see")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  t->add_option("--domain", o.model.domain, "what SEANet works on; waveform brings other sizes with it")
      ->capture_default_str()
      ->check(CLI::IsMember({"spectrum", "waveform"}));
  t->add_option("--channels", o.model.channels, "before the first stride; doubled by each")
      ->capture_default_str()
      ->check(CLI::Range(2, 512));
  t->add_option("--dilations", o.model.dilations, "of the residual units at each rate")->capture_default_str();
  t->add_option("--strides", o.model.strides, "between the waveform and the latents")->capture_default_str();
  t->add_option("--levels", o.model.levels, "codes for each frame")->capture_default_str()->check(CLI::Range(1, 64));
  t->add_option("--entries", o.model.entries, "of each codebook")->capture_default_str()->check(CLI::Range(2, 65536));
  t->add_option("--seed", o.train.seed)->capture_default_str();
  t->add_flag("--quick", o.quick, "a tiny budget, to see that everything works; the numbers mean nothing");
  add_computing(*t, o);
  t->callback([&] {
    if (o.model.domain == "waveform") {
      const ModelConfig sizes = ModelConfig::waveform();
      o.model.hop = sizes.hop;
      if (t->count("--wave") == 0) o.train.wave = 0.1;
      if (t->count("--channels") == 0) o.model.channels = sizes.channels;
      if (t->count("--strides") == 0) o.model.strides = sizes.strides;
      if (t->count("--dilations") == 0) o.model.dilations = sizes.dilations;
    }
    if (o.quick) {
      if (t->count("--steps") == 0) o.train.steps = 12;
      if (t->count("--recordings") == 0) o.train.recordings = 2;
      o.model.channels = 4;
      o.model.dims = 16;
      o.model.levels = 2;
      o.model.entries = 16;
      o.train.discriminator_channels = 4;
    }
    status = train_one(o);
  });

  auto* e = app.add_subcommand("evaluate", "measure a codec on the test split");
  add_model(*e, o);
  auto* other = e->add_option("--data", o.train.data, "other data than the model was trained on");
  e->add_option("--out", o.out, "folder for what is written")->capture_default_str();
  e->callback([&, other] {
    if (other->count() == 0) o.train.data.clear();
    status = evaluate_one(o);
  });

  auto* c = app.add_subcommand("encode", "write the codes of a recording");
  add_model(*c, o);
  c->add_option("input", o.in_file, "sound file")->required();
  c->add_option("output", o.out_file, "file of codes")->required();
  c->add_option("--kbps", o.kbps, "kbit/s, at most (0: as many as the model has)")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  c->callback([&] { status = encode_one(o); });

  auto* d = app.add_subcommand("decode", "make sound of codes");
  add_model(*d, o);
  d->add_option("input", o.in_file, "file of codes")->required();
  d->add_option("output", o.out_file, ".wav or .flac file")->required();
  d->callback([&] { status = decode_one(o); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "codec_mini: {}\n", error.what());
    return 1;
  }
  return status;
}
