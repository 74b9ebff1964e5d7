// Every quantizer of the library on the same latents of real speech: what it costs, what it loses, how it uses its
// entries, how long it takes.
//
//   quantizer_zoo --out zoo                       latents are principal components of log-mel
//   quantizer_zoo --latents FOLDER --rate 25 …    latents of any encoder: a .npy file for each recording of --data
//
// Writes results.json and zoo.svg. Trains on some speakers and measures on others. `--device cuda` computes on a GPU:
// quantizer_zoo-cuda, the same program for CUDA, goes on with the command.
//
// Exit status: 0 done, 1 an error (one sentence on standard error), 2 wrong usage.
#include <fmt/format.h>
#include <phonaut/io/atomic_file.hpp>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <exception>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <thread>

#include "common/computing.hpp"
#include "measure.hpp"
#include "picture.hpp"
#include "seconds_at_work.hpp"

using namespace phonaut;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

struct Options {
  std::string data = "librispeech_mini", latents, out = "zoo", only;
  double rate = 0;
  long dim = 32;
  int threads = 0;
  bool quick = false;
  Budget budget;
};

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

struct Trained {
  Coder coder;
  double seconds = 0;  ///< of work
};

/// How many quantizers are trained at once. A GPU is that of the thread which chose it, and of no other.
template <class Any>
int side_by_side(const Context<Any>& ctx) {
  if constexpr (std::is_same_v<Any, Cuda>) return 1;
  else return host_threads(ctx);
}

/// Trains all, several side by side, each on one thread with draws of its own: the numbers do not depend on how many.
std::vector<Trained> train_all(const std::vector<Specimen>& zoo, const Latents& latents, const Budget& budget,
                               int threads) {
  std::vector<Trained> trained(zoo.size());
  std::atomic<size_t> next{0}, done{0};  // from the last one on: among them are those that take long
  std::mutex one;
  std::exception_ptr failed;
  const auto work = [&] {
    for (size_t i = next++; i < zoo.size(); i = next++) try {
        const size_t k = zoo.size() - 1 - i;
        Context<B> ctx(B{}, budget.seed);
        use_threads(ctx, 1);
        const double begin = seconds_at_work(ctx);
        trained[k].coder = zoo[k].fit(ctx, latents, budget);
        trained[k].seconds = seconds_at_work(ctx) - begin;
        const std::lock_guard lock(one);
        fmt::print(stderr, "{:2} of {}: {} trained in {:.1f} s\n", ++done, zoo.size(), zoo[k].name, trained[k].seconds);
      } catch (...) {
        const std::lock_guard lock(one);
        failed = std::current_exception();
        next = zoo.size();
      }
  };
  std::vector<std::thread> workers;
  workers.reserve(static_cast<size_t>(threads));
  for (int w = 1; w < threads; ++w) workers.emplace_back(work);
  work();
  for (auto& worker : workers) worker.join();
  if (failed) std::rethrow_exception(failed);
  return trained;
}

void print_row(const json& row) {
  const auto number = [&](const char* key) { return row.at(key).get<double>(); };
  const bool labels = row.at("snr").is_null();
  fmt::print("{:27} {:>16} {:>6.1f} {:>7.0f} {:>7.0f} {:>6} {:>6} {:>6.1f} {:>6.1f} {:>7.2f} {:>6.1f}\n",
             row.at("family").get<std::string>(), row.at("setting").get<std::string>(), number("bits"),
             number("bit_rate"), number("coded_bit_rate"), labels ? "-" : fmt::format("{:.2f}", number("snr")),
             labels ? "-" : fmt::format("{:.1f}", 100 * number("left")), 100 * number("used"),
             100 * number("perplexity"), number("microseconds"), number("seconds"));
}

int run(const Options& o) {
  const double start = now();
  Context<B> ctx;
  use_threads(ctx, o.threads);
  const Latents latents = o.latents.empty() ? latents_of_speech(ctx, o.data, o.dim, o.budget.seed)
                                            : latents_of_files(o.data, o.latents, o.rate);
  fmt::print("{}\n\n", latents.about);
  std::fflush(stdout);
  std::vector<Specimen> zoo;
  for (auto part : {single_books(), summed_books(), implied_books()})
    for (auto& specimen : part)
      if (specimen.name.find(o.only) != std::string::npos) zoo.push_back(std::move(specimen));
  if (zoo.empty()) throw ConfigError(fmt::format("zoo: no quantizer has '{}' in its name", o.only));
  const auto trained = train_all(zoo, latents, o.budget, side_by_side(ctx));

  fmt::print("{:27} {:>16} {:>6} {:>7} {:>7} {:>6} {:>6} {:>6} {:>6} {:>7} {:>6}\n", "", "", "bits/", "", "bit/s",
             "SNR", "left", "used", "perpl.", "us/", "train");
  fmt::print("{:27} {:>16} {:>6} {:>7} {:>7} {:>6} {:>6} {:>6} {:>6} {:>7} {:>6}\n", "quantizer", "setting", "frame",
             "bit/s", "coded", "dB", "%", "%", "%", "frame", "s");
  json table = json::array();
  use_threads(ctx, 1);  // times are of one
  for (size_t k = 0; k < zoo.size(); ++k)
    for (json row : measured(ctx, zoo[k], trained[k].coder, latents)) {
      row["seconds"] = trained[k].seconds;
      print_row(row);
      std::fflush(stdout);
      table.push_back(std::move(row));
    }
  double least = INFINITY, most = 0;
  for (const json& row : table) {
    least = std::min(least, row.at("bits").get<double>());
    most = std::max(most, row.at("bits").get<double>());
  }
  const GaussianBound bound = gaussian_bound(latents.spectrum, least, most);
  const double seconds = now() - start;
  const json results{{"latents", latents.about},
                     {"dim", latents.dim()},
                     {"rate", latents.rate()},
                     {"frames", {{"train", latents.train.total()}, {"test", latents.test.total()}}},
                     {"spectrum", latents.spectrum},
                     {"gaussian_bound", {{"bits", bound.bits}, {"snr", bound.snr}}},
                     {"steps", {{"follow", o.budget.follow}, {"learn", o.budget.learn}}},
                     {"seed", o.budget.seed},
                     {"seconds", seconds},
                     {"table", table}};
  fs::create_directories(o.out);
  write_file((fs::path(o.out) / "results.json").string(), results.dump(1) + "\n");
  write_file((fs::path(o.out) / "zoo.svg").string(), zoo_picture(table, bound));
  fmt::print("\n{:.0f} s; the numbers and the picture are in {}\n", seconds, o.out);
  return 0;
}

/// The tiny budget; what was asked for by name stays.
void apply_quick(const CLI::App& app, Options& o) {
  if (!o.quick) return;
  if (app.count("--follow") == 0) o.budget.follow = 20;
  if (app.count("--learn") == 0) o.budget.learn = 20;
  if (app.count("--dim") == 0) o.dim = 8;
  o.budget.pieces = 8;
  o.budget.hidden = 16;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("Every quantizer on the same latents: rate, distortion, usage, time");
  app.add_option("--data", o.data, "a shipped set, a manifest or a folder")->capture_default_str();
  auto* latents =
      app.add_option("--latents", o.latents, "folder with a .npy file (frames, channels) for each recording");
  auto* rate = app.add_option("--rate", o.rate, "frames per second of --latents")->check(CLI::PositiveNumber);
  latents->needs(rate);
  rate->needs(latents);
  app.add_option("--dim", o.dim, "channels of the latents that the program makes itself")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--out", o.out, "folder for what is written")->capture_default_str();
  app.add_option("--only", o.only, "quantizers with this in their name");
  app.add_option("--follow", o.budget.follow, "steps where codebooks follow running averages")
      ->capture_default_str()
      ->check(CLI::Range(20L, 1000000L));
  app.add_option("--learn", o.budget.learn, "steps where gradients are used")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--seed", o.budget.seed)->capture_default_str();
  app.add_option(
         "--threads", o.threads,
         "quantizers that are trained side by side; 0: as many as there are processors. A GPU trains one after the "
         "other")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  add_device_option(app);
  app.add_flag("--quick", o.quick, "a tiny budget, to see that everything works; the numbers mean nothing");
  try {
    app.parse(argc, argv);
    apply_quick(app, o);
    return run(o);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "quantizer_zoo: {}\n", error.what());
    return 1;
  }
}
