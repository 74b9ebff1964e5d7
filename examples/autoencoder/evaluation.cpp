#include "evaluation.hpp"

#include <fmt/format.h>
#include <phonaut/io/audio.hpp>
#include <phonaut/losses/si_sdr.hpp>
#include <phonaut/metrics/probe.hpp>
#include <phonaut/metrics/spectrum.hpp>
#include <phonaut/training/data.hpp>

#include <cmath>
#include <set>

using namespace phonaut;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

constexpr size_t kMostFrames = 20000;  ///< for spectrum and moments
constexpr size_t kListening = 6;

/// The recordings that people listen to: different classes if there are any, spread over the list.
std::vector<Utterance> to_listen(const std::vector<Utterance>& test) {
  std::vector<Utterance> chosen;
  std::set<std::string> classes;
  for (const auto& u : test)
    if (chosen.size() < kListening && !u.label.empty() && classes.insert(u.label).second) chosen.push_back(u);
  for (size_t i = 0; chosen.size() < std::min(kListening, test.size()) && classes.size() < 2; ++i) {
    if (i == 0) chosen.clear();
    chosen.push_back(test[i * test.size() / std::min(kListening, test.size())]);
  }
  return chosen;
}

/// Share of the codebooks' entries that occur in these recordings, mean over codebooks.
double codebook_usage(Context<B>& ctx, const Autoencoder& model, const std::vector<Utterance>& utterances) {
  ctx.infer();
  std::vector<std::vector<long>> counts;
  DataLoader loader = in_order(utterances, model.config.rate);
  while (const auto batch = loader.next()) {
    const Codes<B> codes =
        model.codes(model.encode(to_waveform(ctx, batch->samples, batch->lengths, batch->time, model.config)).value);
    counts.resize(static_cast<size_t>(codes.extent(2)), std::vector<long>(static_cast<size_t>(model.entries()), 0));
    for (size_t level = 0; level < counts.size(); ++level) {
      const CodeUsage usage = code_usage(ctx, codes, static_cast<long>(level), model.entries());
      for (size_t i = 0; i < usage.histogram.size(); ++i) counts[level][i] += usage.histogram[i];
    }
  }
  double total = 0;
  for (auto& histogram : counts)
    total += usage_of(std::move(histogram)).coverage() / static_cast<double>(counts.size());
  return total;
}

/// Log-mel frames of one signal, on the host.
std::vector<float> mel_picture(Context<B>& ctx, const Autoencoder& model, const std::vector<float>& samples) {
  const auto mel = model.mel(
      to_waveform(ctx, samples, {static_cast<long>(samples.size())}, static_cast<long>(samples.size()), model.config));
  return values_of(mel.frames);
}

}  // namespace

std::vector<float> read_mono(const std::string& path, int rate) { return read_audio(path, {.rate = rate}).samples; }

std::vector<float> reconstruct(Context<B>& ctx, const Autoencoder& model, const std::vector<float>& samples) {
  ctx.infer();
  const auto n = static_cast<long>(samples.size());
  const auto y = model.decode(model.bottleneck(model.encode(to_waveform(ctx, samples, {n}, n, model.config))).value);
  std::vector<float> out = values_of(y.samples);
  out.resize(samples.size());
  return out;
}

Embedded embed(Context<B>& ctx, const Autoencoder& model, const std::vector<Utterance>& utterances,
               const ClassNames& labels, const ClassNames& speakers) {
  ctx.infer();
  Embedded all;
  const long dim = model.config.latent;
  DataLoader loader = in_order(utterances, model.config.rate);
  while (const auto batch = loader.next()) {
    const Sequence<B> z =
        model.encode(to_waveform(ctx, batch->samples, batch->lengths, batch->time, model.config)).value;
    const std::vector<float> values = values_of(z.frames);
    for (long i = 0; i < z.batch(); ++i) {
      const float* rows = values.data() + i * z.time() * dim;
      const long frames = z.length(i);
      if (all.frames.size() < kMostFrames * static_cast<size_t>(dim))
        all.frames.insert(all.frames.end(), rows, rows + frames * dim);
      std::vector<float> mean(static_cast<size_t>(dim)), deviation(mean.size());
      for (long c = 0; c < dim; ++c) {
        double m = 0, v = 0;
        for (long t = 0; t < frames; ++t) m += rows[t * dim + c] / static_cast<double>(frames);
        for (long t = 0; t < frames; ++t)
          v += (rows[t * dim + c] - m) * (rows[t * dim + c] - m) / static_cast<double>(frames);
        mean[static_cast<size_t>(c)] = static_cast<float>(m);
        deviation[static_cast<size_t>(c)] = static_cast<float>(std::sqrt(v));
      }
      all.pooled.insert(all.pooled.end(), mean.begin(), mean.end());
      all.pooled.insert(all.pooled.end(), deviation.begin(), deviation.end());
    }
    for (const auto c : labels.of(*batch, utterances)) all.labels.push_back(c);
    for (const auto c : speakers.of(*batch, utterances)) all.speakers.push_back(c);
  }
  return all;
}

Run evaluate(Context<B>& ctx, Trained& trained, const Corpus& corpus, const fs::path& folder) {
  const Autoencoder& model = trained.model;
  const auto train = corpus.split("train"), valid = corpus.split("valid"), test = corpus.split("test");
  Run run{.bottleneck = model.config.bottleneck,
          .seed = trained.config.seed,
          .metrics = json::object(),
          .training = trained.facts,
          .curves = trained.curves,
          .spectrum = {},
          .histogram_centres = {},
          .histogram_density = {},
          .examples = {}};
  const MultiScaleMel distance(ctx, model.config.rate);
  const LogSpectralDistance spectral(model.config.rate);
  run.metrics["mel_distance"] = mean_distance(ctx, model, distance, test);
  run.metrics["log_spectral_distance"] = mean_distance(ctx, model, spectral, test);
  if (model.bitrate() > 0) {
    run.metrics["bitrate"] = model.bitrate();
    run.metrics["codebook_usage"] = 100 * codebook_usage(ctx, model, test);
  }

  // What the latents know. The test split has other speakers where the data allows it, so classes are asked there, and
  // speakers within the training speakers' other recordings.
  const ClassNames labels(corpus.all, &Utterance::label), speakers(corpus.all, &Utterance::speaker);
  const Embedded on_train = embed(ctx, model, train, labels, speakers),
                 on_test = embed(ctx, model, test, labels, speakers);
  const long wide = 2 * model.config.latent;
  if (labels.size() > 1) {
    const Labelled from{on_train.pooled, on_train.labels}, to{on_test.pooled, on_test.labels};
    run.metrics["digit_probe"] = 100 * linear_probe(from, to, wide).test;
    run.metrics["digit_knn"] = 100 * nearest_neighbour_accuracy(from, to, wide);
  }
  if (speakers.size() > 1 && !valid.empty()) {
    const Embedded on_valid = embed(ctx, model, valid, labels, speakers);
    std::set<std::int32_t> heard(on_train.speakers.begin(), on_train.speakers.end());
    bool known = heard.size() > 1;
    for (const auto s : on_valid.speakers) known = known && heard.count(s) > 0;
    if (known) {
      const Labelled from{on_train.pooled, on_train.speakers}, to{on_valid.pooled, on_valid.speakers};
      run.metrics["speaker_probe"] = 100 * linear_probe(from, to, wide).test;
      run.metrics["speaker_knn"] = 100 * nearest_neighbour_accuracy(from, to, wide);
    }
  }

  // The shape of the cloud, over held-out frames.
  const long dim = model.config.latent;
  run.metrics["effective_rank"] = effective_rank(on_test.frames, dim);
  const Normality shape = normality(on_test.frames, dim);
  run.metrics["skewness"] = shape.skewness;
  run.metrics["excess_kurtosis"] = shape.excess_kurtosis;
  run.spectrum = covariance_spectrum(on_test.frames, dim);
  ctx.infer();
  ctx.set_step(0);  // the same slices for every model
  const long frames = static_cast<long>(on_test.frames.size()) / dim;
  run.metrics["normality_statistic"] =
      item(sigreg(Sequence<B>{input(ctx, Shape<3>{1, frames, dim}, on_test.frames), {}, 0}, {.slices = 512})) /
      static_cast<double>(std::max(1L, frames));
  {
    // Values of each dimension, standardised, counted in bins.
    constexpr int bins = 48;
    constexpr double reach = 4.0, width = 2 * reach / bins;
    std::vector<double> counts(bins, 0);
    for (long c = 0; c < dim; ++c) {
      double m = 0, v = 0;
      for (long t = 0; t < frames; ++t)
        m += on_test.frames[static_cast<size_t>(t * dim + c)] / static_cast<double>(frames);
      for (long t = 0; t < frames; ++t)
        v += std::pow(on_test.frames[static_cast<size_t>(t * dim + c)] - m, 2) / static_cast<double>(frames);
      for (long t = 0; t < frames; ++t) {
        const double u = (on_test.frames[static_cast<size_t>(t * dim + c)] - m) / std::sqrt(v + 1e-20);
        const int bin = static_cast<int>(std::floor((u + reach) / width));
        if (bin >= 0 && bin < bins) counts[static_cast<size_t>(bin)] += 1;
      }
    }
    for (int b = 0; b < bins; ++b) {
      run.histogram_centres.push_back(-reach + (b + 0.5) * width);
      run.histogram_density.push_back(counts[static_cast<size_t>(b)] / (static_cast<double>(frames * dim) * width));
    }
  }

  // To listen to.
  fs::create_directories(folder);
  double sdr = 0;
  long heard = 0;
  for (const Utterance& u : to_listen(test)) {
    const std::vector<float> x = read_mono(u.path, model.config.rate), y = reconstruct(ctx, model, x);
    const auto n = static_cast<long>(x.size());
    sdr -= item(si_sdr_loss(input(ctx, Shape<2>{1, n}, y), input(ctx, Shape<2>{1, n}, x)));
    ++heard;
    const std::string name = fmt::format("{:02d}_{}", heard, fs::path(u.path).stem().string());
    Listening l{.label = u.label.empty()        ? u.transcript.substr(0, 40)
                         : u.transcript.empty() ? u.label
                                                : u.transcript,
                .speaker = u.speaker,
                .original = folder.parent_path() / "originals" / (name + ".wav"),
                .reconstructed = folder / (name + ".wav"),
                .mel_original = mel_picture(ctx, model, x),
                .mel_reconstructed = mel_picture(ctx, model, y),
                .mels = model.config.mels};
    fs::create_directories(l.original.parent_path());
    write_audio(l.original.string(), x, model.config.rate);
    write_audio(l.reconstructed.string(), y, model.config.rate);
    run.examples.push_back(std::move(l));
  }
  if (heard > 0) run.metrics["si_sdr"] = sdr / static_cast<double>(heard);
  return run;
}
