// Features of streams are those of their recordings, bit for bit, whatever the chunks.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "allocation_counter.hpp"
#include "catch.hpp"
#include "phonaut/frontends/kaldi_mfcc.hpp"
#include "phonaut/frontends/log_mel.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

using Recordings = std::vector<std::vector<float>>;

Recordings recordings(const std::vector<long>& lengths) {
  Recordings all;
  for (size_t n = 0; n < lengths.size(); ++n) {
    const auto draws = normal(Shape<1>{lengths[n]}, static_cast<std::uint64_t>(n) + 1).data;
    all.emplace_back(draws.begin(), draws.end());
  }
  return all;
}
template <class B>
Waveform<B> chunk_of(Context<B>& ctx, const Recordings& all, const std::vector<long>& from,
                     const std::vector<long>& lengths, long width) {
  std::vector<float> rows(all.size() * static_cast<size_t>(width), std::nanf(""));  // nothing may look behind the end
  for (size_t n = 0; n < all.size(); ++n)
    std::copy_n(all[n].begin() + from[n], lengths[n], rows.begin() + static_cast<long>(n) * width);
  return {input(ctx, Shape<2>{static_cast<long>(all.size()), width}, rows), lengths_of(ctx, lengths), 16000};
}
/// Appends the real frames of each stream.
template <class B>
void append(const Sequence<B>& y, std::vector<std::vector<typename B::Scalar>>& to) {
  const auto values = values_of(y.frames);
  for (long n = 0; n < y.batch(); ++n) {
    const auto from = values.begin() + n * y.time() * y.channels();
    to[static_cast<size_t>(n)].insert(to[static_cast<size_t>(n)].end(), from, from + y.length(n) * y.channels());
  }
}

/// Streams of these lengths through `frontend` in chunks of at most `most` samples; calls same(got, want) for each.
template <class B, class Frontend, class Same>
void check_streams(Context<B>& ctx, const Frontend& frontend, const std::vector<long>& lengths, long most,
                   std::uint32_t seed, const Same& same) {
  std::mt19937 dice(seed);
  const Recordings all = recordings(lengths);
  auto state = frontend.start(static_cast<long>(all.size()));
  std::vector<std::vector<typename B::Scalar>> got(all.size());
  std::vector<long> at(all.size(), 0);
  for (int round = 0; round < 10000; ++round) {
    // The last rounds of a stream are short ones: there it ends.
    const long width = std::uniform_int_distribution<long>(0, most)(dice);
    std::vector<long> taken;
    bool left = false;
    for (size_t n = 0; n < all.size(); ++n) {
      taken.push_back(state.streams.open(static_cast<long>(n)) ? std::min(width, lengths[n] - at[n]) : 0);
      left |= at[n] < lengths[n];
    }
    if (!left) break;
    const Sequence<B> y = frontend(chunk_of(ctx, all, at, taken, width), state);
    CHECK(y.rate == 16000.0 / static_cast<double>(frontend.plan->config().hop));
    append(y, got);
    for (size_t n = 0; n < all.size(); ++n) at[n] += taken[n];
  }
  append(frontend.finish(ctx, state), got);
  for (size_t n = 0; n < all.size(); ++n) {
    INFO("stream of " << lengths[n] << " samples, chunks up to " << most);
    REQUIRE(at[n] == lengths[n]);
    CHECK_FALSE(state.streams.open(static_cast<long>(n)));
    const Waveform<B> whole{input(ctx, Shape<2>{1, lengths[n]}, all[n]), {}, 16000};
    same(got[n], values_of(frontend(whole).frames));
  }
}
const auto equal_bits = [](const auto& got, const auto& want) {
  REQUIRE(got.size() == want.size());
  CHECK((got.empty() || std::memcmp(got.data(), want.data(), got.size() * sizeof(got[0])) == 0));
};

const std::vector<long> many_lengths = {5003, 1600, 400, 399, 280, 161, 121, 119, 80, 79, 1, 0, 2400};

}  // namespace

TEMPLATE_TEST_CASE("filterbanks of streams are those of their recordings", "[frontends]", Cpu, Reference64) {
  using B = TestType;
  Context<B> ctx;
  ctx.poison(true);
  std::uint32_t seed = 1;
  for (const long most : {1L, 90L, 400L, 2000L}) {
    const auto check = [&](const auto& frontend) {
      check_streams(ctx, frontend, many_lengths, most, seed++, equal_bits);
    };
    if (most == 1) {  // a sample at a time, as far as patience goes
      check_streams(ctx, KaldiFbank<B>(ctx, KaldiConfig::lhotse(23)), {700, 0, 81}, 1, 1, equal_bits);
      continue;
    }
    check(KaldiFbank<B>(ctx, KaldiConfig::kaldi(23)));
    check(KaldiFbank<B>(ctx, KaldiConfig::lhotse(23)));
    check(KaldiFbank<B>(ctx, {.frame_length_ms = 8, .frame_shift_ms = 20, .use_energy = true}));  // gaps between frames
    check(LogMel<B>(ctx, LogMel<B>::torchaudio(20)));
    check(
        LogMel<B>(ctx, {.n_fft = 256, .hop = 100, .edge = Edge::zero, .drop_last = true, .bands = 20, .guard = 1e-6}));
    check(LogMel<B>(ctx, LogMel<B>::hifigan(16000, 512, 128, 20, 0)));
  }
}

TEST_CASE("cepstra of streams are those of their recordings", "[frontends]") {
  Context<Cpu> ctx;
  const KaldiMfcc<Cpu> mfcc(ctx, {.features = {.use_energy = true}});
  for (const long most : {200L, 1500L})
    check_streams(ctx, mfcc, many_lengths, most, 5, [](const auto& got, const auto& want) {
      REQUIRE(got.size() == want.size());
      for (size_t i = 0; i < got.size(); ++i)  // 23 products of up to 25, added in another order
        CHECK(std::fabs(got[i] - want[i]) < 2e-4f);
    });
}

TEST_CASE("a stream of features can be copied, and another recording can take its place", "[frontends]") {
  Context<Cpu> ctx;
  const KaldiFbank<Cpu> fbank(ctx, KaldiConfig::lhotse(23));
  const Recordings all = recordings({1000, 1000});
  auto state = fbank.start(2);
  (void)fbank(chunk_of(ctx, all, {0, 0}, {500, 300}, 500), state);  // the second one ends
  auto copy = deep_copy(state, ctx.backend());
  std::vector<std::vector<float>> got(2), again(2);
  restart_stream(state, 1);
  append(fbank(chunk_of(ctx, all, {500, 0}, {500, 500}, 500), state), got);
  append(fbank.finish(ctx, state), got);
  append(fbank(chunk_of(ctx, all, {500, 0}, {500, 0}, 500), copy), again);
  append(fbank.finish(ctx, copy), again);
  equal_bits(got[0], again[0]);
  const Waveform<Cpu> second{
      input(ctx, Shape<2>{1, 500}, std::vector<float>(all[1].begin(), all[1].begin() + 500)), {}, 0};
  equal_bits(got[1], values_of(fbank(second).frames));
  CHECK(again[1].empty());
}

TEST_CASE("after warm-up a stream of features allocates nothing", "[frontends]") {
  Context<Cpu> ctx;
  const KaldiFbank<Cpu> fbank(ctx, KaldiConfig::lhotse());
  auto state = fbank.start(2);
  const Waveform<Cpu> chunk{ctx.constant(ctx.full(Shape<2>{2, 333}, 0.1f)), {}, 16000};
  const auto steps = [&](int count) {
    for (int i = 0; i < count; ++i) (void)fbank(chunk, state);
  };
  steps(40);
  CHECK(allocations_when_warm([&] { steps(100); }) == 0);
}

TEST_CASE("streams of features refuse what they cannot do", "[frontends]") {
  Context<Cpu> ctx;
  const KaldiFbank<Cpu> fbank(ctx, {});
  CHECK_THROWS_AS(fbank.start(0), ConfigError);
  CHECK_THROWS_AS(KaldiFbank<Cpu>(ctx, {.subtract_mean = true}).start(1), ConfigError);
  CHECK_THROWS_AS(KaldiMfcc<Cpu>(ctx, {.features = {.subtract_mean = true}}).start(1), ConfigError);
  CHECK_THROWS_AS(LogMel<Cpu>(ctx, LogMel<Cpu>::whisper()).start(1), ConfigError);
  CHECK_THROWS_AS(LogMel<Cpu>(ctx, LogMel<Cpu>::nemo()).start(1), ConfigError);
  auto state = fbank.start(1);
  const Waveform<Cpu> chunk{ctx.constant(ctx.zeros(Shape<2>{1, 500})), {}, 16000};
  CHECK_THROWS_AS(fbank(Waveform<Cpu>{chunk.samples, {}, 8000}, state), ConfigError);
  CHECK_THROWS_AS(fbank(Waveform<Cpu>{ctx.constant(ctx.zeros(Shape<2>{2, 500})), {}, 16000}, state), ShapeError);
  CHECK(fbank(chunk, state).time() == 1);
  CHECK(fbank.finish(ctx, state).time() == 0);
  CHECK_THROWS_AS(fbank(chunk, state), StateError);
}
