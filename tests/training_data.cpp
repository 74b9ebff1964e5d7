// The data loader: the same batches whatever the thread, the cache and the place where it is resumed; bad recordings
// are left out, counted and named.
#include "phonaut/training/data.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "catch.hpp"
#include "io_support.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

/// Recordings that exist as empty files only; their samples are made up from the name by `made_up`.
std::vector<Utterance> recordings(const TemporaryFolder& folder, int n, double shortest = 0.2) {
  std::vector<Utterance> list;
  for (int i = 0; i < n; ++i) {
    Utterance u;
    u.path = folder / ("u" + std::to_string(i) + ".wav");
    u.speaker = "s" + std::to_string(i % 3);
    u.label = std::to_string(i % 4);
    u.seconds = shortest + 0.01 * ((i * 37) % 101);
    u.origin = "list.tsv line " + std::to_string(i + 2);
    spill(u.path, "");
    list.push_back(u);
  }
  return list;
}

/// Sample t of recording u is u + t / 10000 (u from its line), so that tests can read off what they got.
AudioSource made_up(std::atomic<int>* reads = nullptr) {
  return {.read =
              [reads](const Utterance& u, int rate, double from, double seconds) {
                if (reads) ++*reads;
                const long first = static_cast<long>(from * rate);
                const long n = static_cast<long>(std::ceil((seconds < 0 ? u.seconds : seconds) * rate));
                std::vector<float> samples(static_cast<size_t>(n));
                for (long t = 0; t < n; ++t)
                  samples[static_cast<size_t>(t)] = static_cast<float>(first + t) / 10000.0f + 1.0f;
                return samples;
              },
          .seconds = [](const Utterance& u) { return u.seconds; }};
}

std::string text_of(const Batch& b) {
  std::string out = concat(b.epoch, '/', b.index, " time ", b.time, ':');
  for (long n = 0; n < b.size(); ++n) {
    const auto at = static_cast<size_t>(n);
    out += concat(' ', b.utterances[at], '(', b.lengths[at], ", ", b.samples[at * static_cast<size_t>(b.time)], ')');
  }
  return out;
}

std::vector<std::string> texts(DataLoader& loader, int n) {
  std::vector<std::string> out;
  for (int i = 0; i < n; ++i) {
    const auto batch = loader.next();
    if (!batch) break;
    out.push_back(text_of(*batch));
  }
  return out;
}

DataLoader::Config small() { return {.rate = 100, .batch_seconds = 4, .batch_size = 8, .seed = 3, .prefetch = 3}; }

}  // namespace

TEST_CASE("the shares of ranks behind each other are the batches of one rank with as many times the limits",
          "[training][threads]") {
  const TemporaryFolder folder;
  for (const int n : {59, 4}) {
    const auto list = recordings(folder, n);
    for (const int ranks : {2, 3}) {
      DataLoader::Config together = small();
      together.cut_seconds = 0.5;  // cuts are those of the recording, whoever reads it
      DataLoader::Config own = together;
      together.batch_size *= ranks;
      together.batch_seconds *= ranks;
      own.ranks = ranks;
      DataLoader one(list, together, made_up());
      std::vector<DataLoader> shares;
      for (own.rank = 0; own.rank < ranks; ++own.rank) shares.emplace_back(list, own, made_up());
      bool uneven = false, empty = false;
      for (int i = 0; i < 12; ++i) {
        const Batch whole = *one.next();
        Batch joined;
        long largest = 0, smallest = whole.size();
        for (DataLoader& loader : shares) {
          const Batch part = *loader.next();
          CHECK(std::pair(part.epoch, part.index) == std::pair(whole.epoch, whole.index));
          CHECK(part.time > 0);
          for (long k = 0; k < part.size(); ++k) {
            const auto at = static_cast<size_t>(k);
            joined.utterances.push_back(part.utterances[at]);
            joined.lengths.push_back(part.lengths[at]);
            const auto mine = part.samples.begin() + k * part.time;
            const auto all = whole.samples.begin() + (static_cast<long>(joined.lengths.size()) - 1) * whole.time;
            CHECK(std::equal(mine, mine + part.lengths[at], all));
          }
          largest = std::max(largest, part.size()), smallest = std::min(smallest, part.size());
        }
        CHECK(joined.utterances == whole.utterances);
        CHECK(joined.lengths == whole.lengths);
        CHECK(largest - smallest <= 1);
        uneven = uneven || largest != smallest;
        empty = empty || smallest == 0;
      }
      CHECK(uneven == (n == 59 || ranks == 3));
      CHECK(!empty);
    }
  }
  DataLoader::Config config = small();
  config.ranks = 2;
  config.rank = 2;
  CHECK_THROWS_WITH(DataLoader(recordings(folder, 3), config, made_up()), "data: there is no rank 2 of 2");
}

TEST_CASE("a rank whose share is empty or damaged gives an empty batch, and a checkpoint suits any number of ranks",
          "[training]") {
  const TemporaryFolder folder;
  const auto list = recordings(folder, 3);
  DataLoader::Config config{
      .rate = 100, .batch_seconds = 10, .batch_size = 10, .shuffle = false, .rank = 3, .ranks = 4};
  DataLoader last(list, config, made_up());
  const Batch nothing = *last.next();
  CHECK(nothing.size() == 0);
  CHECK(nothing.time > 0);
  CHECK(nothing.samples.empty());
  CHECK(last.next()->epoch == 1);

  // The shortest recording, the share of rank 0, is damaged: the rank goes on, though not for a whole epoch of nothing.
  AudioSource damaged = made_up();
  const std::string shortest =
      list[static_cast<size_t>(
               DataLoader(list, {.rate = 100, .batch_size = 1, .shuffle = false}, made_up()).next()->utterances[0])]
          .path;
  damaged.read = [shortest, read = damaged.read](const Utterance& u, int rate, double from, double seconds) {
    if (u.path == shortest) throw FormatError(u.path + ": a hole");
    return read(u, rate, from, seconds);
  };
  config.rank = 0;
  DataLoader first(list, config, damaged);
  const Batch damage = *first.next();
  CHECK(damage.size() == 0);
  CHECK(damage.skipped.size() == 1);
  CHECK_THROWS_AS(first.next(), ConfigError);

  // One rank with four times the limits goes on from where four stood.
  const auto file = folder / "loader.safetensors";
  save_checkpoint(file, [&](auto& archive) { archive("data", last); });
  DataLoader one(list, {.rate = 100, .batch_seconds = 40, .batch_size = 40, .shuffle = false}, made_up());
  load_checkpoint(file, [&](auto& archive) { archive("data", one); });
  CHECK(one.position() == last.position());
  DataLoader other(list, {.rate = 100, .batch_seconds = 10, .batch_size = 10, .shuffle = false}, made_up());
  CHECK_THROWS_AS(load_checkpoint(file, [&](auto& archive) { archive("data", other); }), LoadError);
}

TEST_CASE("an epoch has every recording once, padded with zeros, within the budget", "[training][threads]") {
  const TemporaryFolder folder;
  const auto list = recordings(folder, 57);
  DataLoader loader(list, small(), made_up());
  const long batches = loader.batches_in_epoch(0);
  std::multiset<size_t> seen;
  double padded = 0, real = 0;
  for (long i = 0; i < batches; ++i) {
    const auto b = loader.next();
    REQUIRE(b);
    CHECK(b->epoch == 0);
    CHECK(b->index == i);
    CHECK(b->rate == 100);
    CHECK(b->size() <= 8);
    CHECK(b->samples.size() == static_cast<size_t>(b->size() * b->time));
    CHECK((b->size() == 1 || static_cast<double>(b->size() * b->time) <= 4 * 100));
    CHECK(b->time == *std::max_element(b->lengths.begin(), b->lengths.end()));
    for (size_t n = 0; n < b->lengths.size(); ++n) {
      seen.insert(b->utterances[n]);
      CHECK(b->lengths[n] == static_cast<long>(std::ceil(list[b->utterances[n]].seconds * 100)));
      for (long t = 0; t < b->time; ++t)
        REQUIRE((b->samples[n * static_cast<size_t>(b->time) + static_cast<size_t>(t)] == 0) == (t >= b->lengths[n]));
      real += static_cast<double>(b->lengths[n]);
    }
    padded += static_cast<double>(b->size() * b->time);
  }
  CHECK(seen.size() == 57);
  CHECK(std::set<size_t>(seen.begin(), seen.end()).size() == 57);
  CHECK(real / padded > 0.85);  // grouped by length
  CHECK(loader.next()->epoch == 1);
  CHECK(loader.skipped().empty());
  CHECK(loader.skipped_text().empty());
}

TEST_CASE("batches depend on recordings and settings alone", "[training][threads]") {
  const TemporaryFolder folder;
  const auto list = recordings(folder, 40);
  auto config = small();
  config.cut_seconds = 0.5;
  DataLoader first(list, config, made_up());
  const auto expected = texts(first, 40);
  REQUIRE(first.position().epoch >= 2);
  for (const int prefetch : {0, 1, 7})
    for (const double cache : {0.0, 0.001, 100.0}) {
      config.prefetch = prefetch;
      config.cache_megabytes = cache;
      DataLoader other(list, config, made_up());
      CHECK((texts(other, 40) == expected));
    }
  config.seed = 4;
  DataLoader other(list, config, made_up());
  CHECK((texts(other, 40) != expected));

  // Epochs are shuffled and cut anew; only a batch of one short recording may recur.
  const auto without_place = [](const std::string& text) { return text.substr(text.find("time")); };
  std::set<std::string> bodies;
  for (const auto& text : expected) bodies.insert(without_place(text));
  CHECK(bodies.size() > 3 * expected.size() / 4);
}

TEST_CASE("without shuffling batches go by length, and epochs end", "[training]") {
  const TemporaryFolder folder;
  const auto list = recordings(folder, 30);
  DataLoader loader(list, {.rate = 100, .batch_size = 4, .shuffle = false, .epochs = 2}, made_up());
  long last = 0, count = 0, epoch = 0;
  while (const auto b = loader.next()) {
    if (b->epoch != epoch) last = 0;
    epoch = b->epoch;
    for (const long length : b->lengths) {
      CHECK(length >= last);
      last = length;
      ++count;
    }
  }
  CHECK(count == 60);
  CHECK_FALSE(loader.next());
  CHECK_FALSE(loader.next());
}

TEST_CASE("a loader that goes on from a saved position gives the same batches", "[training][threads]") {
  const TemporaryFolder folder;
  const auto list = recordings(folder, 40);
  auto config = small();
  config.cut_seconds = 0.5;
  DataLoader whole(list, config, made_up());
  const auto expected = texts(whole, 30);
  const std::string path = folder / "state.safetensors";
  for (const int before : {0, 1, 5, 17}) {
    DataLoader first(list, config, made_up());
    texts(first, before);
    const std::vector<float> weight(1);
    save_checkpoint(path, [&](auto& archive) { archive("training/data", first); });
    config.prefetch = before % 3;  // how far the thread worked ahead does not matter
    DataLoader second(list, config, made_up());
    texts(second, 3);
    load_checkpoint(path, [&](auto& archive) { archive("training/data", second); });
    CHECK(second.position() == first.position());
    auto rest = texts(second, 30 - before);
    CHECK((rest == std::vector(expected.begin() + before, expected.end())));
  }
  // Other recordings or settings would not give the same batches: that is said, not hidden.
  const auto load_into = [&](std::vector<Utterance> other, DataLoader::Config c) {
    DataLoader loader(std::move(other), c, made_up());
    load_checkpoint(path, [&](auto& archive) { archive("training/data", loader); });
  };
  CHECK(contains(message_of<LoadError>([&] { load_into(recordings(folder, 39), config); }),
                 "training/data/recordings is `40 recordings in batches of at most 8, mark "));
  auto changed = config;
  changed.seed = 9;
  CHECK_THROWS_AS(load_into(list, changed), LoadError);
  changed = config;
  changed.cache_megabytes = 0;
  CHECK_NOTHROW(load_into(list, changed));
  CHECK_THROWS_AS(whole.seek({-1, 0}), ConfigError);
}

TEST_CASE("cuts are pieces of the recording", "[training]") {
  const TemporaryFolder folder;
  const auto list = recordings(folder, 20, 1.0);
  DataLoader::Config config{.rate = 100, .cut_seconds = 0.5, .batch_size = 4};
  std::set<float> starts;
  DataLoader random(list, config, made_up());
  for (int i = 0; i < 15; ++i) {
    const auto b = random.next();
    CHECK(b->time == 50);
    for (size_t n = 0; n < b->lengths.size(); ++n) {
      const float first = b->samples[n * 50], last = b->samples[n * 50 + 49];
      CHECK(std::fabs(last - first - 0.0049f) < 1e-6f);
      CHECK(last <= 1 + static_cast<float>(list[b->utterances[n]].seconds) / 100 + 1e-6f);
      starts.insert(first);
    }
  }
  CHECK(starts.size() > 20);
  config.random_cuts = false;
  DataLoader middle(list, config, made_up());
  const auto b = middle.next();
  for (size_t n = 0; n < b->lengths.size(); ++n) {
    const double before = (b->samples[n * 50] - 1) * 100, length = list[b->utterances[n]].seconds;
    CHECK(std::fabs(before + 0.25 - length / 2) < 0.02);
  }
  // Of long recordings only the piece is read.
  auto hours = recordings(folder, 3);
  for (auto& u : hours) u.seconds = 7200;
  double most = 0;
  AudioSource source = made_up();
  source.read = [&, read = source.read](const Utterance& u, int rate, double from, double seconds) {
    most = std::max(most, seconds < 0 ? u.seconds : seconds);
    CHECK(from + seconds <= 7200);
    return read(u, rate, from, seconds);
  };
  config = {.rate = 100, .max_seconds = 30, .cut_seconds = 4, .prefetch = 0};
  DataLoader long_ones(hours, config, source);
  for (int i = 0; i < 5; ++i) CHECK(long_ones.next()->time == 400);
  CHECK(most == 4);
}

TEST_CASE("the cache saves reading, within its limit", "[training][threads]") {
  const TemporaryFolder folder;
  const auto list = recordings(folder, 20);
  std::atomic<int> reads{0};
  auto config = small();
  config.epochs = 3;
  {
    DataLoader loader(list, config, made_up(&reads));
    while (loader.next()) {
    }
  }
  CHECK(reads == 20);
  reads = 0;
  config.cache_megabytes = 0;
  {
    DataLoader loader(list, config, made_up(&reads));
    while (loader.next()) {
    }
  }
  CHECK(reads == 60);
}

TEST_CASE("bad recordings are skipped, counted and named, and the rest is used", "[training][threads]") {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& name, double seconds, int rate) {
    std::vector<float> samples(static_cast<size_t>(seconds * rate));
    for (size_t t = 0; t < samples.size(); ++t) samples[t] = 0.5f * std::sin(0.05f * static_cast<float>(t));
    write_audio(folder / name, samples, rate);
  };
  write("good16.wav", 1, 16000);
  write("good8.flac", 1, 8000);
  write("good44.wav", 0.5, 44100);
  write("cut.wav", 1, 16000);
  spill(folder / "cut.wav", slurp(folder / "cut.wav").substr(0, 9000));
  write("cut.flac", 1, 16000);
  spill(folder / "cut.flac", slurp(folder / "cut.flac").substr(0, 3000));
  write("short.wav", 0.05, 16000);
  write("long.wav", 3, 16000);
  spill(folder / "empty.wav", "");
  spill(folder / "text.wav", "this is not audio at all, but somebody called it so");
  {
    write_audio(folder / "nan.wav", std::vector<float>(16000, 0.25f), 16000, SampleFormat::float32);
    std::string bytes = slurp(folder / "nan.wav");
    const float value = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(bytes.data() + bytes.size() - 400, &value, sizeof value);
    spill(folder / "nan.wav", bytes);
  }
  std::string table = "path\tspeaker\tseconds\n";
  const std::vector<std::string> names = {"good16.wav", "cut.wav",  "nowhere.wav", "empty.wav", "good8.flac", "nan.wav",
                                          "short.wav",  "long.wav", "text.wav",    "cut.flac",  "good44.wav"};
  for (const auto& name : names) table += name + "\ts\t-\n";
  spill(folder / "list.tsv", table);

  for (const int prefetch : {0, 2}) {
    DataLoader loader(read_manifest(folder / "list.tsv"),
                      {.max_seconds = 2, .batch_seconds = 10, .shuffle = false, .epochs = 2, .prefetch = prefetch});
    std::multiset<size_t> used;
    size_t told = 0;
    const size_t at_once = loader.skipped().size();
    while (const auto b = loader.next()) {
      told += b->skipped.size();
      for (size_t n = 0; n < b->lengths.size(); ++n) {
        used.insert(b->utterances[n]);
        CHECK(b->lengths[n] == (b->utterances[n] == 10 ? 8000 : 16000));  // all at 16 kHz
      }
    }
    CHECK((used == std::multiset<size_t>{0, 0, 4, 4, 10, 10}));
    CHECK(loader.skipped().size() == 8);
    CHECK(told + at_once == 8);  // each is told once
    std::map<size_t, std::string> why;
    for (const auto& s : loader.skipped()) why[s.utterance] = s.reason;
    for (const auto& [index, reason] : why) {
      INFO(reason);
      CHECK((contains(reason, names[index]) || contains(reason, concat("list.tsv line ", index + 2))));
    }
    CHECK(contains(why[2], "list.tsv line 4: "));
    CHECK(contains(why[2], "nowhere.wav"));
    CHECK(contains(why[5], "nan"));
    CHECK(contains(why[6], "0.05 s are less than the least, 0.1 s"));
    CHECK(contains(why[7], "3 s are more than the most, 2 s"));
    const std::string text = loader.skipped_text(2);
    INFO(text);
    CHECK(contains(text, "8 of 11 recordings were skipped: "));
    CHECK(contains(text, "; and 6 more"));
  }
}

TEST_CASE("with nothing to read the loader says so instead of waiting", "[training][threads]") {
  const TemporaryFolder folder;
  auto list = recordings(folder, 3);
  CHECK_THROWS_WITH(DataLoader({}, {}, made_up()), "data: the list of recordings is empty");
  for (auto& u : list) u.path += ".gone";
  const std::string message = message_of<ConfigError>([&] { DataLoader(list, {}, made_up()); });
  CHECK(contains(message, "none of the 3 recordings can be used; the first because of list.tsv line 2: "));

  list = recordings(folder, 30);
  AudioSource broken = made_up();
  broken.read = [](const Utterance& u, int, double, double) -> std::vector<float> {
    throw FormatError(u.path + ": rotten");
  };
  for (const int prefetch : {0, 2}) {
    auto config = small();
    config.prefetch = prefetch;
    DataLoader loader(list, config, broken);
    CHECK(
        contains(message_of<ConfigError>([&] { loader.next(); }), "none of the 30 recordings of an epoch can be read"));
    CHECK(loader.skipped().size() == 30);
    CHECK_THROWS_AS(loader.next(), ConfigError);  // and says it again when asked again
  }
  AudioSource empty = made_up();
  empty.read = [](const Utterance&, int, double, double) { return std::vector<float>(); };
  DataLoader none(list, small(), empty);
  CHECK(contains(message_of<ConfigError>([&] { none.next(); }), "there are no samples"));
}

TEST_CASE("what the thread cannot handle arrives at the one who asks", "[training][threads]") {
  const TemporaryFolder folder;
  const auto list = recordings(folder, 30);
  std::atomic<int> reads{0};
  AudioSource source = made_up();
  source.read = [&, read = source.read](const Utterance& u, int rate, double from, double seconds) {
    if (++reads > 10) throw std::bad_alloc();
    return read(u, rate, from, seconds);
  };
  DataLoader loader(list, small(), source);
  CHECK_THROWS_AS(
      [&] {
        while (loader.next()) {
        }
      }(),
      std::bad_alloc);
  CHECK_THROWS_AS(loader.next(), std::bad_alloc);
}

TEST_CASE("a loader can be dropped, moved and sought at any moment", "[training][threads]") {
  const TemporaryFolder folder;
  const auto list = recordings(folder, 40);
  AudioSource slow = made_up();
  slow.read = [read = slow.read](const Utterance& u, int rate, double from, double seconds) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    return read(u, rate, from, seconds);
  };
  for (int i = 0; i < 20; ++i) {
    auto config = small();
    config.prefetch = 1 + i % 4;
    config.cache_megabytes = i % 2;
    DataLoader loader(list, config, slow);
    for (int k = 0; k < i % 5; ++k) loader.next();
    if (i % 3 == 0) loader.seek({i % 2, 3});
    if (i % 4 == 0) {
      DataLoader moved = std::move(loader);
      CHECK(moved.next());
    }
  }
}

TEST_CASE("what the thread found out ahead of a seek is not forgotten", "[training][threads]") {
  const TemporaryFolder folder;
  const auto list = recordings(folder, 20);
  AudioSource source = made_up();
  source.read = [read = source.read](const Utterance& u, int rate, double from, double seconds) {
    if (u.path.ends_with("7.wav")) throw FormatError(u.path + ": rotten");  // u7 and u17
    return read(u, rate, from, seconds);
  };
  auto config = small();
  config.epochs = 1;
  config.prefetch = 50;
  DataLoader loader(list, config, source);
  CHECK(loader.next());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // let it run ahead; the outcome does not depend on it
  loader.seek({0, 0});
  while (loader.next()) {
  }
  CHECK(loader.skipped().size() == 2);
}

TEST_CASE("settings out of range are refused", "[training]") {
  const TemporaryFolder folder;
  const auto list = recordings(folder, 2);
  CHECK_THROWS_WITH(DataLoader(list, {.rate = 0}, made_up()), "data: rate must be positive, got 0");
  CHECK_THROWS_AS(DataLoader(list, {.batch_seconds = std::nan("")}, made_up()), ConfigError);
  CHECK_THROWS_AS(DataLoader(list, {.batch_size = 0}, made_up()), ConfigError);
  CHECK_THROWS_AS(DataLoader(list, {.min_seconds = 5, .max_seconds = 1}, made_up()), ConfigError);
  CHECK_THROWS_AS(DataLoader(list, {.cut_seconds = 0.01}, made_up()), ConfigError);
  CHECK_THROWS_AS(DataLoader(list, {.prefetch = -1}, made_up()), ConfigError);
}

TEST_CASE("names become numbers that all splits share", "[training]") {
  const TemporaryFolder folder;
  auto list = recordings(folder, 12);
  list[5].label = "";
  const ClassNames labels(list, &Utterance::label), speakers(list, &Utterance::speaker);
  CHECK(labels.size() == 4);
  CHECK(speakers.size() == 3);
  CHECK(labels[2] == "2");
  CHECK(labels.index("3") == 3);
  CHECK(labels.index("7") == -1);
  Batch batch;
  batch.utterances = {3, 5, 4};
  CHECK((labels.of(batch, list) == std::vector<std::int32_t>{3, -1, 0}));
  CHECK((speakers.of(batch, list) == std::vector<std::int32_t>{0, 2, 1}));
}
