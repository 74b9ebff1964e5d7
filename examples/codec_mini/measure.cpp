#include "measure.hpp"

#include <fmt/format.h>
#include <phonaut/io/atomic_file.hpp>
#include <phonaut/io/audio.hpp>
#include <phonaut/losses/si_sdr.hpp>
#include <phonaut/metrics/mel_distance.hpp>
#include <phonaut/metrics/stoi.hpp>

#include <algorithm>
#include <set>

#include "baseline.hpp"
#include "common/figures.hpp"

using namespace phonaut;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

constexpr double kMost = 8;  ///< seconds
constexpr long kListening = 4;

double si_sdr(const std::vector<float>& got, const std::vector<float>& want) {
  Context<B> ctx;
  const auto n = static_cast<long>(want.size());
  return -item(si_sdr_loss(input(ctx, Shape<2>{1, n}, got), input(ctx, Shape<2>{1, n}, want)));
}
std::vector<float> cut_to(std::vector<float> samples, int rate) {
  samples.resize(std::min(samples.size(), static_cast<size_t>(kMost * rate)));
  return samples;
}

}  // namespace

void to_json(json& to, const Quality& from) {
  to = {{"kbps", from.kbps}, {"mel_distance", from.mel_distance}, {"si_sdr", from.si_sdr}, {"stoi", from.stoi}};
}

Quality measure(const std::vector<Utterance>& recordings, int rate, const Reconstruct& reconstruct) {
  Quality sum;
  double count = 0;
  for (const Utterance& u : recordings) {
    const auto x = cut_to(read_audio(u.path, {.rate = rate}).samples, rate);
    if (static_cast<double>(x.size()) < kLeast * rate) continue;
    const auto y = reconstruct(x);
    sum.mel_distance += mel_distance(y, x, {.sample_rate = static_cast<double>(rate)});
    sum.si_sdr += si_sdr(y, x);
    sum.stoi += stoi(x, y, rate);
    count += 1;
  }
  if (count == 0) throw ConfigError(concat("codec: there is no recording of at least ", kLeast, " s to measure with"));
  return {0, sum.mel_distance / count, sum.si_sdr / count, sum.stoi / count};
}

void report(Context<B>& ctx, const Trained& trained, const fs::path& folder) {
  const Codec& model = trained.model;
  const int rate = model.config.rate;
  const auto train = recordings_of(trained.config.data, "train"), test = recordings_of(trained.config.data, "test");
  std::set<std::string> heard, unheard;
  for (const auto& u : train) heard.insert(u.speaker);
  bool disjoint = true;
  for (const auto& u : test)
    disjoint = unheard.insert(u.speaker).second ? disjoint && !heard.count(u.speaker) : disjoint;
  fmt::print("{} test recordings by {} speakers{}\n", test.size(), unheard.size(),
             disjoint ? ", unheard in training" : "");

  Context<B> other;
  const Codec fresh = untrained(other, model.config, trained.config);
  const MelCoder mel(other, model.config, train, trained.config.seed);
  struct Row {
    std::string name, key;
    long levels;
    std::function<std::vector<float>(const std::vector<float>&, long)> run;
  };
  std::vector<long> depths;
  for (long levels = 1; levels < model.config.levels; levels *= 2) depths.push_back(levels);
  depths.push_back(model.config.levels);
  json numbers = json::object();
  numbers["test"] = {{"recordings", test.size()}, {"speakers", unheard.size()}, {"unheard", disjoint}};
  fmt::print("{:<28}{:>8}{:>14}{:>12}{:>8}\n", "", "kbit/s", "mel distance", "SI-SDR dB", "STOI");
  const auto measured = [&](const std::string& name, const char* key, double kbps, const Reconstruct& run) {
    Quality q = measure(test, rate, run);
    q.kbps = kbps;
    numbers[key].push_back(q);
    fmt::print("{:<28}{:>8.2f}{:>14.3f}{:>12.2f}{:>8.3f}\n", name, q.kbps, q.mel_distance, q.si_sdr, q.stoi);
    return q;
  };
  std::vector<figures::Line> lines{{"codec", {}, {}, "#2563eb", false, true},
                                   {"mel and Griffin-Lim", {}, {}, "#d97706", false, true},
                                   {"untrained", {}, {}, "#6b7280", true, true}};
  for (const long levels : depths) {
    const double kbps = model.kbps(levels);
    const Quality all[] = {
        measured("codec", "codec", kbps, [&](const auto& x) { return reconstruct(ctx, model, x, levels); }),
        measured("mel and Griffin-Lim", "mel", kbps, [&](const auto& x) { return mel.reconstruct(other, x, levels); }),
        measured("untrained codec", "untrained", kbps,
                 [&](const auto& x) { return reconstruct(other, fresh, x, levels); })};
    for (size_t i = 0; i < 3; ++i) {
      lines[i].x.push_back(kbps);
      lines[i].y.push_back(all[i].mel_distance);
    }
  }
  measured("mel, not coded", "mel_uncoded", 0, [&](const auto& x) { return mel.reconstruct(other, x, -1); });

  fs::create_directories(folder);
  write_file((folder / "quality.json").string(), numbers.dump(2) + "\n");
  const figures::Chart chart = figures::line_chart(
      {.title = "Mel distance, speakers unheard in training", .x_label = "kbit/s", .y_label = "mel distance"}, lines);
  write_file((folder / "quality.svg").string(), figures::file({{chart}}));
  for (long i = 0; i < std::min(kListening, static_cast<long>(test.size())); ++i) {
    const Utterance& u = test[static_cast<size_t>(i) * test.size() / static_cast<size_t>(kListening)];
    const auto x = cut_to(read_audio(u.path, {.rate = rate}).samples, rate);
    const auto write = [&](const char* what, const std::vector<float>& samples) {
      write_audio((folder / fmt::format("{}_{}.wav", i + 1, what)).string(), samples, rate);
    };
    write("original", x);
    write("codec", reconstruct(ctx, model, x, 0));
    write("mel", mel.reconstruct(other, x, 0));
  }
}
