// A recogniser of spoken digits: a small causal Zipformer with CTC, trained in minutes, that listens while you speak.
//
//   digits train --out digits                    trains, then measures on speakers it never heard
//   digits evaluate --model digits               measures again
//   digits say 7 4 9 said.wav                    puts recordings of such speakers together
//   digits listen --model digits said.wav        prints the words of a recording as they come
//
// Exit status: 0 done, 1 an error (one sentence on standard error), 2 wrong usage, 130 stopped by a signal.
#include <fmt/format.h>
#include <phonaut/io/audio.hpp>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>
#include <set>
#include <thread>

#include "common/computing.hpp"
#include "common/model_file.hpp"
#include "training.hpp"

using namespace phonaut;

namespace {

struct Options {
  ModelConfig model;
  TrainConfig train;
  std::string out = "digits", model_file, in_file;
  std::vector<std::string> said;  ///< words, and a file behind them
  bool quick = false, real_time = false;
  double piece = 0.1;
  int threads = 0;
};

Context<B>& prepared(Context<B>& ctx, const Options& o) { return ::prepared(ctx, o.threads, o.train.precision); }

/// The data of a training, or other data to measure with.
Corpus corpus_of(const std::string& data, const std::string& held_out) {
  Corpus corpus = load_corpus(data);
  return held_out.empty() ? corpus : with_held_out(std::move(corpus), held_out);
}

void print_errors(const char* what, const EditCounts& e) {
  fmt::print("{}: word error rate {:.2f} % ({} substitutions, {} deletions, {} insertions of {} words)\n", what,
             100 * e.rate(), e.substitutions, e.deletions, e.insertions, e.reference);
}

void measure(Context<B>& ctx, const Recogniser& model, const Corpus& corpus, long most_words) {
  const auto test = corpus.split("test");
  std::set<std::string> speakers;
  for (const auto& u : test) speakers.insert(u.speaker);
  std::string names;
  for (const auto& name : speakers) names += (names.empty() ? "" : ", ") + name;
  fmt::print("test speakers: {}{}\n", names, corpus.speakers_disjoint ? ", unheard in training" : "");
  print_errors("single words", count_errors(ctx, model, plain_strings(test, 1, model.config.rate)));
  print_errors(fmt::format("strings of {}", most_words).c_str(),
               count_errors(ctx, model, plain_strings(test, most_words, model.config.rate)));
}

int train_one(Options& o) {
  Context<B> ctx;
  const Corpus corpus = corpus_of(o.train.data, o.train.held_out);
  o.model.rate = corpus.rate;
  o.model.names = Vocabulary::names_in(corpus.split("train"), o.model.units);
  const Trained done = train(prepared(ctx, o), o.model, o.train, corpus, o.out, std::cerr);
  if (!done.finished) {
    fmt::print("stopped; the same command goes on from {}/latest.safetensors\n", o.out);
    return 130;
  }
  fmt::print("{}: {} parameters, {} steps in {:.0f} s\n", model_path(o.out).string(),
             done.facts["parameters"].get<long>(), done.facts["steps"].get<long>(),
             done.facts["seconds"].get<double>());
  measure(ctx, done.model, corpus, done.config.most_words);
  return 0;
}

int evaluate_one(const Options& o) {
  Context<B> ctx;
  const Trained trained = read_model(prepared(ctx, o), model_path(o.model_file));
  const TrainConfig& of = trained.config;
  const Corpus corpus = o.train.data.empty() ? corpus_of(of.data, of.held_out) : load_corpus(o.train.data);
  measure(ctx, trained.model, corpus, of.most_words);
  return 0;
}

int say(const Options& o) {
  const Corpus corpus = load_corpus(o.train.data);
  const std::vector<std::string> words(o.said.begin(), o.said.end() - 1);
  const auto [samples, text] = joined(takes_of(words, corpus.split("test")), corpus.rate);
  write_audio(o.said.back(), samples, corpus.rate);
  fmt::print("{}: {:.2f} s, \"{}\"\n", o.said.back(), static_cast<double>(samples.size()) / corpus.rate, text);
  return 0;
}

int listen(const Options& o) {
  using Clock = std::chrono::steady_clock;
  Context<B> ctx;
  const Trained trained = read_model(prepared(ctx, o), model_path(o.model_file));
  const int rate = trained.model.config.rate;
  const auto samples = read_audio(o.in_file, {.rate = rate}).samples;
  Listener listener(ctx, trained.model);
  const auto print = [](const std::string& text) {
    fmt::print("{}", text);
    std::fflush(stdout);
  };
  const auto start = Clock::now();
  const size_t piece = std::max<size_t>(1, static_cast<size_t>(o.piece * rate));
  double busy = 0;
  for (size_t at = 0; at < samples.size(); at += piece) {
    const size_t end = std::min(samples.size(), at + piece);
    // A microphone has these samples when the last of them was spoken.
    if (o.real_time)
      std::this_thread::sleep_until(start + std::chrono::duration<double>(static_cast<double>(end) / rate));
    const auto before = Clock::now();
    print(listener.hear({samples.begin() + static_cast<long>(at), samples.begin() + static_cast<long>(end)}));
    busy += std::chrono::duration<double>(Clock::now() - before).count();
  }
  print(listener.finish() + "\n");
  const double seconds = static_cast<double>(samples.size()) / rate;
  fmt::print(stderr, "{:.2f} s of sound took {:.2f} s\n", seconds, busy);
  return 0;
}

void add_computing(CLI::App& app, Options& o) {
  add_device_option(app);
  add_computing_options(app, o.threads, o.train.precision);
}
void add_model(CLI::App& app, Options& o) {
  app.add_option("--model", o.model_file, "a folder that was trained into, or its model.safetensors")->required();
  add_computing(app, o);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("A recogniser of spoken digits: trains a small causal Zipformer with CTC, and listens with it");
  app.require_subcommand(1);
  int status = 0;

  auto* t = app.add_subcommand("train", "train a recogniser, or go on with one that was stopped");
  t->add_option("--data", o.train.data, "a shipped set (fsdd_digits, arabic_digits) or a manifest with transcripts")
      ->capture_default_str();
  t->add_option("--out", o.out, "folder for what is written")->capture_default_str();
  t->add_option("--epochs", o.train.epochs, "passes over the recordings")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  t->add_option("--recordings", o.train.recordings, "recordings in a batch")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  t->add_option("--learning-rate", o.train.learning_rate)->capture_default_str()->check(CLI::PositiveNumber);
  t->add_option("--speed", o.train.speed, "play recordings up to so much faster or slower")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  t->add_option("--noise", o.train.noise, "dB of full scale: the loudest noise that is added")->capture_default_str();
  t->add_option("--tilt", o.train.tilt, "how much the filters of microphones vary, from 0 to 1")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  t->add_option("--bands", o.model.bands, "of the filterbank")->capture_default_str()->check(CLI::Range(16, 80));
  t->add_option("--recipe", o.train.recipe,
                "published batches whose schedules of the Zipformer recipe this training runs through; 0: none of it")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  t->add_option("--hold-out", o.train.held_out,
                "train without this speaker of the train split, and measure on them instead of the test split");
  t->add_option("--units", o.model.units, "what a label stands for")
      ->capture_default_str()
      ->check(CLI::IsMember({"words", "characters"}));
  t->add_option("--seed", o.train.seed)->capture_default_str();
  t->add_flag("--quick", o.quick, "a tiny budget, to see that everything works; the numbers mean nothing");
  add_computing(*t, o);
  t->callback([&] {
    if (o.quick) {
      if (t->count("--epochs") == 0) o.train.epochs = 2;
      o.model.dims = o.model.feedforward = {32, 48, 32};
    }
    status = train_one(o);
  });

  auto* e = app.add_subcommand("evaluate", "measure a recogniser on the test split");
  add_model(*e, o);
  e->add_option("--data", o.train.data, "other data than the model was trained on");
  e->callback([&] {
    if (e->count("--data") == 0) o.train.data.clear();
    status = evaluate_one(o);
  });

  auto* s = app.add_subcommand("say", "put recordings of the test split together: words, then the file to write");
  s->add_option("words", o.said, "words or their labels, then a .wav or .flac file")->required()->expected(2, -1);
  s->add_option("--data", o.train.data)->capture_default_str();
  s->callback([&] { status = say(o); });

  auto* l = app.add_subcommand("listen", "print the words of a recording as they come");
  add_model(*l, o);
  l->add_option("input", o.in_file, "sound file")->required();
  l->add_option("--piece", o.piece, "seconds of sound that are handed over at once")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  l->add_flag("--real-time", o.real_time, "hand over no sound before it would have been spoken");
  l->callback([&] { status = listen(o); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "digits: {}\n", error.what());
    return 1;
  }
  return status;
}
