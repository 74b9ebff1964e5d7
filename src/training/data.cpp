#include "phonaut/training/data.hpp"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <mutex>
#include <numeric>
#include <thread>

#include "io/text.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/random.hpp"

namespace phonaut {
namespace {

// Different users of one seed.
constexpr std::uint64_t order_purpose = 0x6f72646572, batch_purpose = 0x6261746368, cut_purpose = 0x637574;

/// Of recordings longer than this only the piece that is wanted is read: nobody waits for an hour to be decoded for the
/// sake of four seconds. It decides over samples (a resampler begins at the cut), so it is a constant.
constexpr double whole_seconds = 60;

/// Shuffling happens before windows of this many batches are sorted by length: large enough for batches of equal
/// length, small enough to mix.
constexpr std::size_t window_batches = 16;

void shuffle(std::vector<std::size_t>& list, const Draws& draws) {
  for (std::size_t i = list.size(); i > 1; --i)
    std::swap(list[i - 1], list[static_cast<std::size_t>(draws.below(static_cast<long>(i), static_cast<long>(i)))]);
}

void check_config(const DataLoader::Config& c) {
  const auto positive = [](const char* name, double value) {
    if (!(value > 0)) throw ConfigError(concat("data: ", name, " must be positive, got ", value));
  };
  positive("rate", c.rate);
  positive("max_seconds", c.max_seconds);
  positive("batch_seconds", c.batch_seconds);
  positive("batch_size", static_cast<double>(c.batch_size));
  if (!(c.min_seconds >= 0 && c.min_seconds <= c.max_seconds))
    throw ConfigError(concat("data: min_seconds is ", c.min_seconds, " and max_seconds ", c.max_seconds,
                             ", but they must be an interval from 0 up"));
  if (!(c.cut_seconds >= 0 && c.epochs >= 0 && c.cache_megabytes >= 0 && c.prefetch >= 0))
    throw ConfigError(concat("data: cut_seconds, epochs, cache_megabytes and prefetch must not be negative, got ",
                             c.cut_seconds, ", ", c.epochs, ", ", c.cache_megabytes, " and ", c.prefetch));
  if (c.ranks < 1 || c.rank < 0 || c.rank >= c.ranks)
    throw ConfigError(concat("data: there is no rank ", c.rank, " of ", c.ranks));
  if (c.cut_seconds > 0 && c.cut_seconds < c.min_seconds)
    throw ConfigError(
        concat("data: pieces of ", c.cut_seconds, " s would all be shorter than min_seconds, ", c.min_seconds));
}

std::string name_of(const Utterance& u) { return u.origin.empty() ? u.path : u.origin; }

}  // namespace

class DataLoader::Impl {
 public:
  Impl(std::vector<Utterance> utterances, Config config, AudioSource source)
      : utterances_(std::move(utterances)), config_(config), source_(std::move(source)) {
    check_config(config_);
    inspect();
    cache_.resize(utterances_.size());
    failed_.resize(utterances_.size());
  }
  ~Impl() { stop(); }

  std::optional<Batch> next() {
    Item item;
    if (config_.prefetch == 0) {
      item = produce();
    } else {
      if (!worker_.joinable()) start();
      {
        std::unique_lock lock(mutex_);
        filled_.wait(lock, [&] { return waiting_ > 0; });
        item = std::move(ring_[first_]);
        if (item.batch) {
          first_ = (first_ + 1) % ring_.size();
          --waiting_;
        } else {
          // What ends the sequence stays: asked again, the loader answers the same.
          ring_[first_].error = item.error;
        }
      }
      drained_.notify_one();
    }
    skipped_.insert(skipped_.end(), item.skipped.begin(), item.skipped.end());
    if (item.error) std::rethrow_exception(item.error);
    if (!item.batch) return std::nullopt;
    position_ = item.next;
    item.batch->skipped = std::move(item.skipped);
    return std::move(item.batch);
  }

  void seek(Position position) {
    if (position.epoch < 0 || position.batch < 0)
      throw ConfigError(concat("data: there is no batch ", position.batch, " of epoch ", position.epoch));
    stop();
    position_ = producing_ = position;
    planned_epoch_ = -1;
    // What the thread found out ahead of us was not told yet, and will be found out again.
    std::fill(failed_.begin(), failed_.end(), char(0));
    for (const SkippedUtterance& s : skipped_) failed_[s.utterance] = 1;
  }

  /// The batches of an epoch, those of all ranks together, as lists of recordings.
  std::vector<std::vector<std::size_t>> plan(long epoch) const {
    std::vector<std::size_t> order = usable_;
    const auto shorter = [&](std::size_t a, std::size_t b) { return samples_[a] < samples_[b]; };
    const Random random{config_.seed, 0};
    if (config_.shuffle) {
      shuffle(order, random.at_step(epoch, order_purpose));
      const std::size_t window = window_batches * static_cast<std::size_t>(most());
      for (std::size_t first = 0; first < order.size(); first += window)
        std::stable_sort(order.begin() + static_cast<std::ptrdiff_t>(first),
                         order.begin() + static_cast<std::ptrdiff_t>(std::min(order.size(), first + window)), shorter);
    } else {
      std::stable_sort(order.begin(), order.end(), shorter);
    }
    const double budget = most_seconds() * config_.rate;
    std::vector<std::vector<std::size_t>> batches;
    long longest = 0;
    for (const std::size_t u : order) {
      const long with_this = std::max(longest, samples_[u]);
      if (batches.empty() || static_cast<long>(batches.back().size()) == most() ||
          static_cast<double>(with_this) * static_cast<double>(batches.back().size() + 1) > budget) {
        batches.emplace_back();
        longest = samples_[u];
      } else {
        longest = with_this;
      }
      batches.back().push_back(u);
    }
    if (config_.shuffle) {
      std::vector<std::size_t> places(batches.size());
      std::iota(places.begin(), places.end(), std::size_t(0));
      shuffle(places, random.at_step(epoch, batch_purpose));
      std::vector<std::vector<std::size_t>> mixed(batches.size());
      for (std::size_t i = 0; i < places.size(); ++i) mixed[i] = std::move(batches[places[i]]);
      return mixed;
    }
    return batches;
  }

  std::string digest() const {
    std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
    const auto add = [&hash](const std::string& text) {
      for (const char c : text + '\n') hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    };
    // Not the folders: a data set may move.
    for (const std::size_t u : usable_)
      add(concat(std::filesystem::path(utterances_[u].path).filename().string(), ' ', samples_[u]));
    const Config& c = config_;
    add(concat(c.rate, ' ', c.min_seconds, ' ', c.max_seconds, ' ', c.cut_seconds, ' ', c.random_cuts, ' ',
               most_seconds(), ' ', most(), ' ', c.shuffle, ' ', c.seed));
    return concat(usable_.size(), " recordings in batches of at most ", most(), ", mark ", std::hex, hash);
  }

  std::vector<Utterance> utterances_;
  Config config_;
  std::vector<SkippedUtterance> skipped_;
  Position position_, saved_;

 private:
  struct Item {
    std::optional<Batch> batch;  // neither batch nor error: the end
    std::exception_ptr error;
    std::vector<SkippedUtterance> skipped;
    Position next;
  };

  /// The limits of a batch of all ranks together.
  long most() const { return config_.batch_size * config_.ranks; }
  double most_seconds() const { return config_.batch_seconds * config_.ranks; }
  /// What this rank gets of a batch.
  std::span<const std::size_t> share_of(const std::vector<std::size_t>& list) const {
    const auto rank = static_cast<std::size_t>(config_.rank), ranks = static_cast<std::size_t>(config_.ranks);
    const std::size_t whole = list.size() / ranks, rest = list.size() % ranks;
    return std::span(list).subspan(rank * whole + std::min(rank, rest), whole + (rank < rest ? 1 : 0));
  }

  bool cut(double seconds) const { return config_.cut_seconds > 0 && seconds > config_.cut_seconds; }
  /// Why a recording of that length is not wanted; empty if it is.
  std::string length_problem(std::size_t u, double seconds) const {
    if (seconds < config_.min_seconds)
      return concat(name_of(utterances_[u]), ": ", seconds, " s are less than the least, ", config_.min_seconds, " s");
    if (seconds > config_.max_seconds && !cut(seconds))
      return concat(name_of(utterances_[u]), ": ", seconds, " s are more than the most, ", config_.max_seconds, " s");
    return {};
  }

  /// Sorts out what is known to be unusable, and learns the lengths.
  void inspect() {
    std::vector<std::string> problems(utterances_.size());
    for (auto& problem : check_manifest(utterances_)) problems[problem.index] = std::move(problem.message);
    seconds_.resize(utterances_.size());
    samples_.resize(utterances_.size());
    for (std::size_t u = 0; u < utterances_.size(); ++u) {
      if (problems[u].empty()) {
        try {
          seconds_[u] = utterances_[u].seconds > 0 ? utterances_[u].seconds : source_.seconds(utterances_[u]);
          problems[u] = length_problem(u, seconds_[u]);
        } catch (const Error& error) {
          problems[u] = error.what();
        }
      }
      if (!problems[u].empty()) {
        skipped_.push_back({u, problems[u]});
        continue;
      }
      const double kept = cut(seconds_[u]) ? config_.cut_seconds : seconds_[u];
      samples_[u] = static_cast<long>(std::ceil(kept * config_.rate));
      usable_.push_back(u);
    }
    if (usable_.empty())
      throw ConfigError(utterances_.empty()
                            ? "data: the list of recordings is empty"
                            : concat("data: none of the ", utterances_.size(),
                                     " recordings can be used; the first because of ", skipped_.front().reason));
  }

  /// Samples of a recording, cut; throws Error if it cannot be used.
  std::vector<float> samples_of(std::size_t u, long epoch) {
    const double share =
        config_.random_cuts
            ? static_cast<double>(Random{config_.seed, 0}.at_step(epoch, cut_purpose).uniform(static_cast<long>(u)))
            : 0.5;
    std::vector<float> read;
    const std::vector<float>* all = &cache_[u];
    const bool part_of_file = cut(seconds_[u]) && seconds_[u] > whole_seconds;
    if (all->empty()) {
      if (part_of_file)
        read = source_.read(utterances_[u], config_.rate, share * (seconds_[u] - config_.cut_seconds),
                            config_.cut_seconds);
      else read = source_.read(utterances_[u], config_.rate, 0, -1);
      check(u, read, part_of_file);
      all = &read;
      const double bytes = static_cast<double>(read.size() * sizeof(float));
      // What is in stays in: epochs go round, so the oldest entry is the one that is wanted soonest.
      if (!part_of_file && cached_bytes_ + bytes <= config_.cache_megabytes * 1e6) {
        cached_bytes_ += bytes;
        cache_[u] = std::move(read);
        all = &cache_[u];
      }
    }
    const long length = static_cast<long>(all->size());
    const long most = static_cast<long>(std::ceil(config_.cut_seconds * config_.rate));
    const long wanted = config_.cut_seconds > 0 ? std::min(length, most) : length;
    const long first = part_of_file ? 0 : static_cast<long>(share * static_cast<double>(length - wanted + 1));
    return {all->begin() + first, all->begin() + first + wanted};
  }

  void check(std::size_t u, const std::vector<float>& samples, bool part) const {
    if (samples.empty()) throw FormatError(name_of(utterances_[u]) + ": there are no samples");
    for (std::size_t i = 0; i < samples.size(); ++i)
      if (!std::isfinite(samples[i]))
        throw NumericalError(concat(name_of(utterances_[u]), ": sample ", i, " is ", samples[i]));
    if (part) return;
    const std::string problem = length_problem(u, static_cast<double>(samples.size()) / config_.rate);
    if (!problem.empty()) throw FormatError(problem);
  }

  /// The batch at `producing_`, or the next one that has recordings.
  Item produce() {
    Item item;
    try {
      while (config_.epochs == 0 || producing_.epoch < config_.epochs) {
        const Position at = producing_;
        if (planned_epoch_ != at.epoch) {
          plan_ = plan(at.epoch);
          planned_epoch_ = at.epoch;
          // An epoch that is entered in its middle may rightly have nothing left.
          anything_ = at.batch > 0;
        }
        const long planned = static_cast<long>(plan_.size());
        if (at.batch >= planned) {
          if (!anything_)
            throw ConfigError(concat("data: none of the ", usable_.size(), " recordings of an epoch can be read",
                                     item.skipped.empty() ? "" : "; the last because of ",
                                     item.skipped.empty() ? "" : item.skipped.back().reason));
          producing_ = {at.epoch + 1, 0};
          continue;
        }
        producing_.batch = at.batch + 1;
        const auto& list = plan_[static_cast<std::size_t>(at.batch)];
        const auto share = share_of(list);
        Batch batch = assemble(share, at, item.skipped);
        anything_ = anything_ || batch.size() > 0 || share.empty();
        if (batch.size() == 0) {
          if (config_.ranks == 1) continue;
          // The others have theirs, and wait for this rank.
          for (const std::size_t u : list) batch.time = std::max(batch.time, samples_[u]);
        }
        item.batch = std::move(batch);
        item.next = producing_;
        break;
      }
    } catch (...) {
      item.error = std::current_exception();  // for the thread that asks
    }
    return item;
  }

  Batch assemble(std::span<const std::size_t> list, Position at, std::vector<SkippedUtterance>& skipped) {
    Batch batch;
    batch.rate = config_.rate;
    batch.epoch = at.epoch;
    batch.index = at.batch;
    std::vector<std::vector<float>> parts;
    for (const std::size_t u : list) {
      if (failed_[u]) continue;
      try {
        parts.push_back(samples_of(u, at.epoch));
      } catch (const Error& error) {
        failed_[u] = 1;
        skipped.push_back({u, error.what()});
        continue;
      }
      batch.utterances.push_back(u);
      batch.lengths.push_back(static_cast<long>(parts.back().size()));
      batch.time = std::max(batch.time, batch.lengths.back());
    }
    batch.samples.resize(parts.size() * static_cast<std::size_t>(batch.time));
    for (std::size_t n = 0; n < parts.size(); ++n)
      std::copy(parts[n].begin(), parts[n].end(),
                batch.samples.begin() + static_cast<std::ptrdiff_t>(n * static_cast<std::size_t>(batch.time)));
    return batch;
  }

  void start() {
    stopping_ = false;
    ring_.resize(static_cast<std::size_t>(config_.prefetch));
    first_ = waiting_ = 0;
    worker_ = std::thread([this] {
      for (bool end = false; !end;) {
        Item item = produce();
        end = !item.batch;
        std::unique_lock lock(mutex_);
        drained_.wait(lock, [&] { return stopping_ || waiting_ < ring_.size(); });
        if (stopping_) return;
        ring_[(first_ + waiting_++) % ring_.size()] = std::move(item);
        lock.unlock();
        filled_.notify_one();
      }
    });
  }
  void stop() {
    if (!worker_.joinable()) return;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    drained_.notify_all();
    worker_.join();
    worker_ = {};
    ring_.clear();
  }

  AudioSource source_;
  std::vector<double> seconds_;
  std::vector<long> samples_;  // of each recording in a batch, as planned
  std::vector<std::size_t> usable_;

  // Of the thread that prepares batches.
  Position producing_;
  std::vector<std::vector<std::size_t>> plan_;
  long planned_epoch_ = -1;
  bool anything_ = false;  // whether this epoch has had a batch
  std::vector<std::vector<float>> cache_;
  double cached_bytes_ = 0;
  std::vector<char> failed_;

  std::thread worker_;
  std::mutex mutex_;
  std::condition_variable filled_, drained_;
  std::vector<Item> ring_;  // batches that wait: `waiting_` of them, from `first_` on
  std::size_t first_ = 0, waiting_ = 0;
  bool stopping_ = false;
};

DataLoader::DataLoader(std::vector<Utterance> utterances, Config config, AudioSource source)
    : impl_(std::make_unique<Impl>(std::move(utterances), config, std::move(source))) {}
DataLoader::~DataLoader() = default;
DataLoader::DataLoader(DataLoader&&) noexcept = default;
DataLoader& DataLoader::operator=(DataLoader&&) noexcept = default;

std::optional<Batch> DataLoader::next() { return impl_->next(); }
const std::vector<Utterance>& DataLoader::utterances() const { return impl_->utterances_; }
const DataLoader::Config& DataLoader::config() const { return impl_->config_; }
const std::vector<SkippedUtterance>& DataLoader::skipped() const { return impl_->skipped_; }
long DataLoader::batches_in_epoch(long epoch) const { return static_cast<long>(impl_->plan(epoch).size()); }
DataLoader::Position DataLoader::position() const { return impl_->position_; }
void DataLoader::seek(Position position) { impl_->seek(position); }
DataLoader::Position& DataLoader::saved_position() {
  impl_->saved_ = impl_->position_;
  return impl_->saved_;
}
std::string DataLoader::digest() const { return impl_->digest(); }

std::string DataLoader::skipped_text(std::size_t most_reasons) const {
  const auto& list = impl_->skipped_;
  if (list.empty()) return {};
  std::string out = concat(list.size(), " of ", impl_->utterances_.size(), " recordings ",
                           list.size() == 1 ? "was" : "were", " skipped: ");
  for (std::size_t i = 0; i < std::min(most_reasons, list.size()); ++i) out += (i ? "; " : "") + list[i].reason;
  if (list.size() > most_reasons) out += concat("; and ", list.size() - most_reasons, " more");
  return out;
}

ClassNames::ClassNames(std::span<const Utterance> utterances, std::string Utterance::*field) : field_(field) {
  for (const Utterance& u : utterances)
    if (!(u.*field).empty()) names_.push_back(u.*field);
  std::sort(names_.begin(), names_.end());
  names_.erase(std::unique(names_.begin(), names_.end()), names_.end());
}
std::int32_t ClassNames::index(const std::string& name) const {
  const auto found = std::lower_bound(names_.begin(), names_.end(), name);
  return found == names_.end() || *found != name ? -1 : static_cast<std::int32_t>(found - names_.begin());
}
std::vector<std::int32_t> ClassNames::of(const Batch& batch, std::span<const Utterance> utterances) const {
  std::vector<std::int32_t> out;
  for (const std::size_t u : batch.utterances) out.push_back(index(utterances[u].*field_));
  return out;
}

}  // namespace phonaut
