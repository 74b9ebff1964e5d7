#include "latents.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <phonaut/frontends/log_mel.hpp>
#include <phonaut/io/npy.hpp>
#include <phonaut/metrics/spectrum.hpp>
#include <set>

#include "common/corpus.hpp"

using namespace phonaut;
namespace fs = std::filesystem;

namespace {

using Matrix = std::vector<std::vector<double>>;  // rows

/// Makes rows orthonormal, in their order (Gram and Schmidt, twice over: once is not enough for rows that are nearly
/// the same).
void orthonormalise(Matrix& rows) {
  for (size_t i = 0; i < rows.size(); ++i) {
    for (int again = 0; again < 2; ++again)
      for (size_t j = 0; j < i; ++j) {
        double along = 0;
        for (size_t c = 0; c < rows[i].size(); ++c) along += rows[i][c] * rows[j][c];
        for (size_t c = 0; c < rows[i].size(); ++c) rows[i][c] -= along * rows[j][c];
      }
    double square = 0;
    for (const double v : rows[i]) square += v * v;
    for (double& v : rows[i]) v /= std::sqrt(std::max(square, 1e-300));
  }
}

Matrix random_rows(long count, long width, Draws draws) {
  Matrix rows(static_cast<size_t>(count), std::vector<double>(static_cast<size_t>(width)));
  long at = 0;
  for (auto& row : rows)
    for (double& v : row) v = draws.normal(at++);
  return rows;
}

std::vector<double> mean_of(const RecordedFrames& frames) {
  std::vector<double> mean(static_cast<size_t>(frames.dim), 0.0);
  for (const auto& of : frames.of)
    for (size_t i = 0; i < of.size(); ++i) mean[i % mean.size()] += of[i];
  for (double& m : mean) m /= static_cast<double>(std::max(1L, frames.total()));
  return mean;
}

Matrix covariance_of(const RecordedFrames& frames, const std::vector<double>& mean) {
  const size_t n = mean.size();
  Matrix c(n, std::vector<double>(n, 0.0));
  std::vector<double> x(n);
  for (const auto& of : frames.of)
    for (size_t at = 0; at < of.size(); at += n) {
      for (size_t i = 0; i < n; ++i) x[i] = of[at + i] - mean[i];
      for (size_t i = 0; i < n; ++i)
        for (size_t j = 0; j <= i; ++j) c[i][j] += x[i] * x[j];
    }
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j <= i; ++j) c[j][i] = c[i][j] /= static_cast<double>(frames.total());
  return c;
}

/// Orthonormal rows that span the directions of most variance: orthogonal iteration. What is left of a direction
/// beyond the last one shrinks by the ratio of their eigenvalues in every round.
Matrix principal_rows(const Matrix& covariance, long count, Draws draws) {
  constexpr int rounds = 50;
  Matrix rows = random_rows(count, static_cast<long>(covariance.size()), draws);
  for (int round = 0; round < rounds; ++round) {
    for (auto& row : rows) {
      std::vector<double> y(row.size(), 0.0);
      for (size_t i = 0; i < row.size(); ++i)
        for (size_t j = 0; j < row.size(); ++j) y[i] += covariance[i][j] * row[j];
      row = std::move(y);
    }
    orthonormalise(rows);
  }
  return rows;
}

/// rotation · directions.
Matrix turned(const Matrix& rotation, const Matrix& directions) {
  Matrix y(rotation.size(), std::vector<double>(directions.front().size(), 0.0));
  for (size_t i = 0; i < y.size(); ++i)
    for (size_t k = 0; k < directions.size(); ++k)
      for (size_t c = 0; c < y[i].size(); ++c) y[i][c] += rotation[i][k] * directions[k][c];
  return y;
}

/// rows · (x - mean) of every frame.
RecordedFrames projected(const RecordedFrames& frames, const std::vector<double>& mean, const Matrix& rows) {
  RecordedFrames y{static_cast<long>(rows.size()), frames.rate, {}};
  for (const auto& of : frames.of) {
    auto& to = y.of.emplace_back();
    for (size_t at = 0; at < of.size(); at += mean.size())
      for (const auto& row : rows) {
        double v = 0;
        for (size_t c = 0; c < row.size(); ++c) v += row[c] * (of[at + c] - mean[c]);
        to.push_back(static_cast<float>(v));
      }
  }
  return y;
}

/// Neighbouring frames from `first` on joined by `count`.
RecordedFrames stacked(const RecordedFrames& frames, long count, long first) {
  RecordedFrames y{count * frames.dim, frames.rate / static_cast<double>(count), {}};
  for (size_t i = 0; i < frames.of.size(); ++i) {
    const long stacks = std::max(0L, (frames.length(i) - first) / count);
    const auto from = frames.of[i].begin() + std::min(first, frames.length(i)) * frames.dim;
    y.of.emplace_back(from, from + stacks * y.dim);
  }
  return y;
}

/// Sets means to 0 and the mean variance to 1, and looks at the shape of what is measured.
void finish(Latents& latents) {
  if (latents.train.total() == 0 || latents.test.total() == 0)
    throw ConfigError(fmt::format("latents: there are {} frames to train and {} to test with", latents.train.total(),
                                  latents.test.total()));
  const auto mean = mean_of(latents.train);
  double variance = 0;
  for (const auto& of : latents.train.of)
    for (size_t i = 0; i < of.size(); ++i) variance += std::pow(of[i] - mean[i % mean.size()], 2);
  variance /= static_cast<double>(latents.train.total() * latents.dim());
  if (!(variance > 0)) throw ConfigError("latents: all training frames are the same");
  const double scale = 1 / std::sqrt(variance);
  for (RecordedFrames* part : {&latents.train, &latents.test})
    for (auto& of : part->of)
      for (size_t i = 0; i < of.size(); ++i) of[i] = static_cast<float>(scale * (of[i] - mean[i % mean.size()]));
  latents.spectrum = covariance_spectrum(latents.test.joined(), latents.dim());
}

std::string counted(const Corpus& corpus, double train_seconds, double test_seconds) {
  std::set<std::string> train, test;
  for (const auto& u : corpus.split("train")) train.insert(u.speaker);
  for (const auto& u : corpus.split("test")) test.insert(u.speaker);
  return fmt::format("{}: {:.0f} s of {} speakers to train, {:.0f} s of {} {} to test with", corpus.name, train_seconds,
                     train.size(), test_seconds, test.size(), corpus.speakers_disjoint ? "others" : "of the same");
}

}  // namespace

Latents latents_of_speech(Context<B>& ctx, const std::string& data, long dim, std::uint64_t seed) {
  constexpr long bands = 64, joined = 2;
  if (dim > bands * joined)
    throw ConfigError(fmt::format("latents: {} directions cannot be found in {} numbers", dim, bands * joined));
  const Corpus corpus = load_corpus(data);
  const LogMel<B> mel(ctx, {.sample_rate = static_cast<double>(corpus.rate),
                            .n_fft = corpus.rate >= 16000 ? 512 : 256,
                            .hop = corpus.rate / 100,
                            .bands = bands});
  const auto read = [&](const char* split) {
    return frames_of(ctx, corpus.split(split), corpus.rate, [&](const Waveform<B>& x) { return mel(x); });
  };
  const RecordedFrames train_mel = read("train");
  RecordedFrames train = stacked(train_mel, joined, 0);
  const long once = train.total();
  for (auto& of : stacked(train_mel, joined, 1).of) train.of.push_back(std::move(of));
  const RecordedFrames test = stacked(read("test"), joined, 0);

  Random random{.seed = seed};
  const auto mean = mean_of(train);
  const Matrix covariance = covariance_of(train, mean);
  Matrix rotation = random_rows(dim, dim, random.take(dim * dim));
  orthonormalise(rotation);
  const Matrix rows = turned(rotation, principal_rows(covariance, dim, random.take(dim * train.dim)));
  Latents latents;
  latents.train = projected(train, mean, rows);
  latents.test = projected(test, mean, rows);
  double all = 0, kept = 0;
  for (size_t i = 0; i < covariance.size(); ++i) all += covariance[i][i];
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i)
      for (size_t j = 0; j < row.size(); ++j) kept += row[i] * covariance[i][j] * row[j];
  finish(latents);
  latents.about = fmt::format(
      "{} principal components of log-mel at {:g} Hz, {:.1f} % of its variance; {}", dim, latents.rate(),
      100 * kept / all,
      counted(corpus, static_cast<double>(once) / latents.rate(), static_cast<double>(test.total()) / latents.rate()));
  return latents;
}

Latents latents_of_files(const std::string& data, const std::string& folder, double rate) {
  const Corpus corpus = load_corpus(data);
  long dim = 0;
  const auto read = [&](const char* split) {
    RecordedFrames frames{0, rate, {}};
    for (const Utterance& u : corpus.split(split)) {
      const fs::path file = fs::path(folder) / (fs::path(u.path).stem().string() + ".npy");
      if (!fs::exists(file)) continue;
      auto array = read_npy<float>(file.string());
      if (array.shape.size() != 2 || array.shape[1] < 1)
        throw ShapeError(fmt::format("{}: frames (T, dim) were expected, but its shape is ({})", file.string(),
                                     fmt::join(array.shape, ", ")));
      if (dim == 0) dim = array.shape[1];
      if (array.shape[1] != dim)
        throw ShapeError(
            fmt::format("{}: it has {} channels, but the files before have {}", file.string(), array.shape[1], dim));
      frames.of.push_back(std::move(array.data));
    }
    return frames;
  };
  Latents latents{"", read("train"), read("test"), {}};
  latents.train.dim = latents.test.dim = dim;
  finish(latents);
  latents.about = fmt::format("latents in {}, {} numbers at {:g} Hz; {}", folder, dim, rate,
                              counted(corpus, static_cast<double>(latents.train.total()) / rate,
                                      static_cast<double>(latents.test.total()) / rate));
  return latents;
}

Pieces::Pieces(const RecordedFrames& frames, long pieces, long length, std::uint64_t seed)
    : frames_(frames), pieces_(pieces), length_(length), random_{.seed = seed} {
  long end = 0;
  for (size_t i = 0; i < frames.of.size(); ++i) ends_.push_back(end += frames.length(i));
}

Sequence<B> Pieces::next(Context<B>& ctx) {
  const Draws draws = random_.take(2 * pieces_);
  std::vector<float> rows(static_cast<size_t>(pieces_ * length_ * frames_.dim), 0.0f);
  std::vector<long> lengths;
  for (long n = 0; n < pieces_; ++n) {
    // A frame drawn from all of them names the recording.
    const auto at = std::upper_bound(ends_.begin(), ends_.end(), draws.below(ends_.back(), 2 * n)) - ends_.begin();
    const auto& of = frames_.of[static_cast<size_t>(at)];
    const long whole = frames_.length(static_cast<size_t>(at)), taken = std::min(whole, length_);
    const long from = draws.below(whole - taken + 1, 2 * n + 1);
    std::copy_n(of.begin() + from * frames_.dim, taken * frames_.dim, rows.begin() + n * length_ * frames_.dim);
    lengths.push_back(taken);
  }
  return sequence_of(input(ctx, Shape<3>{pieces_, length_, frames_.dim}, rows), lengths, frames_.rate);
}

Sequence<B> batch_of(Context<B>& ctx, const RecordedFrames& frames, size_t first, size_t last) {
  std::vector<long> lengths;
  for (size_t i = first; i < last; ++i) lengths.push_back(frames.length(i));
  const long time = *std::max_element(lengths.begin(), lengths.end());
  std::vector<float> rows(lengths.size() * static_cast<size_t>(time * frames.dim), 0.0f);
  for (size_t i = first; i < last; ++i)
    std::copy(frames.of[i].begin(), frames.of[i].end(),
              rows.begin() + static_cast<long>(i - first) * time * frames.dim);
  return sequence_of(input(ctx, Shape<3>{static_cast<long>(lengths.size()), time, frames.dim}, rows), lengths,
                     frames.rate);
}

Tensor<B, 2> rows_of(Context<B>& ctx, const RecordedFrames& frames) {
  return input(ctx, Shape<2>{frames.total(), frames.dim}, frames.joined()).tensor();
}
