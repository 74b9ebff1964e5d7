#include "measure.hpp"

#include <algorithm>
#include <phonaut/metrics/rate.hpp>

#include "common/coded_bits.hpp"
#include "seconds_at_work.hpp"

using namespace phonaut;
using nlohmann::json;

namespace {

constexpr size_t kRecordings = 64;   // of a batch
constexpr long kMostInTable = 1024;  // entries of a book that an entropy coder has a table of

/// How often each code occurs: of books of frames, of their digits where they have more entries than a table, and of
/// books of utterances.
struct Counts {
  std::vector<std::vector<long>> books, tables, whole;
  std::vector<size_t> table_book;  ///< which book a table is of
  long frames = 0, utterances = 0;
};

Counts empty_counts(const Coder& coder) {
  Counts c;
  for (size_t b = 0; b < coder.entries.size(); ++b) {
    c.books.emplace_back(static_cast<size_t>(coder.entries[b]), 0);
    const bool digits = coder.entries[b] > kMostInTable && !coder.digits.empty();
    for (const long size : digits ? coder.digits : std::vector<long>{coder.entries[b]}) {
      c.tables.emplace_back(static_cast<size_t>(size), 0);
      c.table_book.push_back(b);
    }
  }
  for (const long entries : coder.whole_entries) c.whole.emplace_back(static_cast<size_t>(entries), 0);
  return c;
}

/// Counts the codes (N, T, books) of a batch in `counts`. Returns how many frames have some.
long add(Context<B>& ctx, const Codes<B>& codes, const std::function<void(size_t book, long code)>& count) {
  const auto host = host_codes(ctx, codes);
  const auto books = static_cast<size_t>(codes.extent(2));
  long frames = 0;
  for (size_t i = 0; i < host.size(); i += books) {
    if (host[i] == no_code) continue;
    ++frames;
    for (size_t b = 0; b < books; ++b) count(b, host[i + b]);
  }
  return frames;
}

void add(Context<B>& ctx, const Coder& coder, const Coded& codes, Counts& counts) {
  counts.frames += add(ctx, codes.frames, [&](size_t book, long code) {
    ++counts.books[book][static_cast<size_t>(code)];
    for (size_t t = 0; t < counts.tables.size(); ++t) {
      if (counts.table_book[t] != book) continue;
      const auto size = static_cast<long>(counts.tables[t].size());
      ++counts.tables[t][static_cast<size_t>(code % size)];
      code /= size;
    }
  });
  if (!coder.whole_entries.empty())
    counts.utterances +=
        add(ctx, codes.whole, [&](size_t book, long code) { ++counts.whole[book][static_cast<size_t>(code)]; });
}

/// Calls f(batch, codes) for all recordings, in batches.
template <class F>
void for_each_batch(Context<B>& ctx, const Coder& coder, const RecordedFrames& frames, const F& f) {
  for (size_t first = 0; first < frames.of.size(); first += kRecordings) {
    const Sequence<B> x = batch_of(ctx, frames, first, std::min(frames.of.size(), first + kRecordings));
    f(x, coder.encode(x));
  }
}

/// The codes of some books; `no_code`, which adds nothing, for the others.
Codes<B> only(Context<B>& ctx, const Codes<B>& codes, const std::vector<long>& books) {
  auto host = host_codes(ctx, codes);
  const auto all = static_cast<size_t>(codes.extent(2));
  for (size_t b = 0; b < all; ++b)
    if (std::find(books.begin(), books.end(), static_cast<long>(b)) == books.end())
      for (size_t i = b; i < host.size(); i += all) host[i] = no_code;
  Codes<B> kept = ctx.empty_of<std::int32_t, 3>(codes.shape());
  kernel::upload(ctx.backend(), kept.data(), host.data(), host.size() * sizeof(std::int32_t));
  return kept;
}

/// Σ (x - y)² and Σ x² over the real frames.
std::pair<double, double> squares(const Sequence<B>& x, const Var<B, 3>& y) {
  const auto a = values_of(x.frames), b = values_of(y);
  double error = 0, signal = 0;
  for (long n = 0; n < x.batch(); ++n)
    for (long i = n * x.time() * x.channels(); i < (n * x.time() + x.length(n)) * x.channels(); ++i) {
      const double v = a[static_cast<size_t>(i)], d = v - static_cast<double>(b[static_cast<size_t>(i)]);
      error += d * d, signal += v * v;
    }
  return {error, signal};
}

/// Least time of three goes, after one to warm up, in seconds.
double seconds_to_encode(Context<B>& ctx, const Coder& coder, const RecordedFrames& frames) {
  double least = INFINITY;
  for (int go = 0; go < 4; ++go) {
    double seconds = 0;
    for (size_t first = 0; first < frames.of.size(); first += kRecordings) {
      const Sequence<B> x = batch_of(ctx, frames, first, std::min(frames.of.size(), first + kRecordings));
      const double start = seconds_at_work(ctx);
      coder.encode(x);
      seconds += seconds_at_work(ctx) - start;
    }
    if (go > 0) least = std::min(least, seconds);
  }
  return least;
}

}  // namespace

json measured(Context<B>& ctx, const Specimen& specimen, const Coder& coder, const Latents& latents) {
  Counts seen = empty_counts(coder), chosen = empty_counts(coder);
  for_each_batch(ctx, coder, latents.train, [&](const Sequence<B>&, const Coded& c) { add(ctx, coder, c, seen); });
  std::vector<double> errors(coder.settings.size(), 0.0);
  double signal = 0;
  for_each_batch(ctx, coder, latents.test, [&](const Sequence<B>& x, const Coded& c) {
    add(ctx, coder, c, chosen);
    for (size_t s = 0; s < errors.size() && coder.decode; ++s) {
      const auto [error, all] = squares(x, coder.decode(x, {only(ctx, c.frames, coder.settings[s].books), c.whole}));
      errors[s] += error;
      if (s == 0) signal += all;
    }
  });
  const double frames = static_cast<double>(chosen.frames);
  const double microseconds = 1e6 * seconds_to_encode(ctx, coder, latents.test) / frames;
  // What is said once for an utterance costs every frame its share.
  double whole_bits = 0, whole_coded = 0;
  const double share = static_cast<double>(chosen.utterances) / frames;
  for (size_t b = 0; b < coder.whole_entries.size(); ++b) {
    whole_bits += share * std::log2(static_cast<double>(coder.whole_entries[b]));
    whole_coded += share * coded_bits(seen.whole[b], chosen.whole[b]);
  }
  json rows = json::array();
  for (size_t s = 0; s < coder.settings.size(); ++s) {
    const Setting& setting = coder.settings[s];
    std::vector<long> entries;
    std::vector<double> coded;
    double used = 0, perplexity = 0, distinct = 0;
    for (const long b : setting.books) {
      const auto book = static_cast<size_t>(b);
      entries.push_back(coder.entries[book]);
      for (size_t t = 0; t < seen.tables.size(); ++t)
        if (seen.table_book[t] == book) coded.push_back(coded_bits(seen.tables[t], chosen.tables[t]));
      const CodeUsage usage = usage_of(chosen.books[book]);
      const double of = static_cast<double>(setting.books.size());
      used += usage.coverage() / of;
      distinct += static_cast<double>(usage.used) / of;
      perplexity += usage.perplexity / static_cast<double>(coder.entries[book]) / of;
    }
    const double whole_rate = latents.rate();
    const double rate = bit_rate(latents.rate(), entries) + whole_rate * whole_bits;
    const double coded_rate = entropy_bit_rate(latents.rate(), coded) + whole_rate * whole_coded;
    json row{{"family", specimen.family},
             {"name", specimen.name},
             {"setting", setting.name},
             {"training", specimen.training},
             {"books", setting.books.size()},
             {"entries", entries.front()},
             {"bits", rate / latents.rate()},
             {"bit_rate", rate},
             {"coded_bits", coded_rate / latents.rate()},
             {"coded_bit_rate", coded_rate},
             {"snr", nullptr},
             {"left", nullptr},
             {"used", used},
             {"distinct", distinct},
             {"perplexity", perplexity},
             {"frames", chosen.frames},
             {"microseconds", microseconds}};
    if (coder.decode) {
      row["left"] = errors[s] / signal;
      row["snr"] = 10 * std::log10(signal / errors[s]);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

GaussianBound gaussian_bound(const std::vector<double>& spectrum, double least, double most) {
  double all = 0;
  for (const double v : spectrum) all += v;
  GaussianBound bound;
  // The water level falls from the greatest eigenvalue on: every channel above it gets log2 of its height, by halves.
  for (double level = spectrum.front(); bound.bits.empty() || bound.bits.back() < most; level *= 0.97) {
    double bits = 0, lost = 0;
    for (const double v : spectrum) {
      if (v > level) bits += 0.5 * std::log2(v / level);
      lost += std::min(v, level);
    }
    if (bits < least) continue;
    bound.bits.push_back(bits);
    bound.snr.push_back(10 * std::log10(all / lost));
  }
  return bound;
}
