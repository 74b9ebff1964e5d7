// SEANet: the numbers of published implementations, exact gradients, a stream gives what its recording gives, a batch
// equals its utterances.
#include <cmath>
#include <string>

#include "catch.hpp"
#include "phonaut/decoders/seanet.hpp"
#include "phonaut/encoders/seanet.hpp"
#include "phonaut/io/safetensors.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using namespace phonaut::testing;
using R64 = Reference64;

namespace {

/// Numbers made by the published Mimi and EnCodec code, weights and outputs, both (…, channels, time).
const SafetensorsReader& published() {
  static const SafetensorsReader file(PHONAUT_SOURCE_DIR "/tests/data/seanet.safetensors");
  return file;
}
/// (a, b, c) -> (a, c, b).
std::vector<double> turned(const std::string& key, Shape<3>& shape) {
  const auto& s = published().info(key).shape;
  const auto from = published().read<double>(key);
  shape = {s[0], s[2], s[1]};
  std::vector<double> to(from.size());
  for (long a = 0; a < s[0]; ++a)
    for (long b = 0; b < s[1]; ++b)
      for (long c = 0; c < s[2]; ++c)
        to[static_cast<size_t>((a * s[2] + c) * s[1] + b)] = from[static_cast<size_t>((a * s[1] + b) * s[2] + c)];
  return to;
}
Sequence<R64> frames_of(Context<R64>& ctx, const std::string& key) {
  Shape<3> shape;
  const auto values = turned(key, shape);
  return {input(ctx, shape, values), {}, 0};
}
void check_numbers(const Var<R64, 3>& got, const std::string& key) {
  Shape<3> shape;
  const auto want = turned(key, shape);
  REQUIRE(got.shape() == shape);
  const auto values = values_of(got);
  double scale = 0, error = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    scale = std::max(scale, std::fabs(want[i]));
    error = std::max(error, std::fabs(values[i] - want[i]));
  }
  CHECK(error <= 2e-5 * scale);  // they were computed, and are stored, in single precision
}

template <class Conv>
void load_conv(Context<R64>& ctx, Conv& conv, const std::string& prefix) {
  Shape<3> shape;
  const auto weight = turned(prefix + (conv.gain ? ".conv.weight_v" : ".conv.weight"), shape);
  REQUIRE(conv.weight.shape() == shape);
  assign(ctx.backend(), conv.weight.tensor(), weight);
  if (conv.gain) assign(ctx.backend(), conv.gain.tensor(), published().read<double>(prefix + ".conv.weight_g"));
  assign(ctx.backend(), conv.bias.tensor(), published().read<double>(prefix + ".conv.bias"));
}
void load_unit(Context<R64>& ctx, SeanetUnit<R64>& unit, const std::string& prefix) {
  load_conv(ctx, unit.down, prefix + ".block.1");
  load_conv(ctx, unit.up, prefix + ".block.3");
  if (unit.shortcut) load_conv(ctx, *unit.shortcut, prefix + ".shortcut");
}
/// The published layers are numbered, activations among them.
std::string layer(const std::string& model, long i) { return model + ".layers." + std::to_string(i); }

SeanetConfig small() {
  return {.dims = 5,
          .channels = 4,
          .strides = {2, 3},
          .dilations = {1, 2},
          .taps = 5,
          .last_taps = 3,
          .shortcut = true,
          .normed = true};
}
Waveform<Cpu> waves(Context<Cpu>& ctx, long batch, long samples, std::uint64_t seed,
                    const std::vector<long>& lengths = {}) {
  Waveform<Cpu> x{input(ctx, Shape<2>{batch, samples}, normal(Shape<2>{batch, samples}, seed).data), {}, 1200};
  if (!lengths.empty()) x.lengths = lengths_of(ctx, lengths);
  return x;
}

}  // namespace

TEST_CASE("SEANet gives Mimi's numbers", "[seanet]") {
  Context<R64> ctx;
  const SeanetConfig c{.dims = 24, .channels = 4, .strides = {4, 5}, .last_taps = 3};
  SeanetEncoder<R64> encoder(ctx, c);
  load_conv(ctx, encoder.first, layer("mimi.encoder", 0));
  for (long i = 0; i < 2; ++i) {
    load_unit(ctx, encoder.stages[static_cast<size_t>(i)].units[0], layer("mimi.encoder", 1 + 3 * i));
    load_conv(ctx, encoder.stages[static_cast<size_t>(i)].down, layer("mimi.encoder", 3 + 3 * i));
  }
  load_conv(ctx, encoder.last, layer("mimi.encoder", 8));
  const auto sound = frames_of(ctx, "mimi.input_values");
  const auto y = encoder(Waveform<R64>{reshape(sound.frames, Shape<2>{sound.batch(), sound.time()}), {}, 0});
  check_numbers(y.frames, "mimi.seanet");

  SeanetDecoder<R64> decoder(ctx, c);
  load_conv(ctx, decoder.first, layer("mimi.decoder", 0));
  for (long i = 0; i < 2; ++i) {
    load_conv(ctx, decoder.stages[static_cast<size_t>(i)].up, layer("mimi.decoder", 2 + 3 * i));
    load_unit(ctx, decoder.stages[static_cast<size_t>(i)].units[0], layer("mimi.decoder", 3 + 3 * i));
  }
  load_conv(ctx, decoder.last, layer("mimi.decoder", 8));
  const auto hidden = published().read<double>("mimi.decoder_hidden.2");  // (N, T, C) already
  const auto& s = published().info("mimi.decoder_hidden.2").shape;
  const auto z = decoder({input(ctx, Shape<3>{s[0], s[1], s[2]}, hidden), {}, 0});
  check_numbers(reshape(z.samples, Shape<3>{z.batch(), z.time(), 1}), "mimi.audio_values");
}

TEST_CASE("SEANet with weight norm and shortcuts gives EnCodec's numbers around its recurrent layers", "[seanet]") {
  Context<R64> ctx;
  const SeanetConfig c{.dims = 12, .channels = 4, .strides = {2, 4, 5}, .shortcut = true, .normed = true};
  SeanetEncoder<R64> encoder(ctx, c);
  load_conv(ctx, encoder.first, layer("encodec.encoder", 0));
  Sequence<R64> x = encoder.first(frames_of(ctx, "encodec.input_values"));
  for (long i = 0; i < 3; ++i) {
    auto& stage = encoder.stages[static_cast<size_t>(i)];
    load_unit(ctx, stage.units[0], layer("encodec.encoder", 1 + 3 * i));
    load_conv(ctx, stage.down, layer("encodec.encoder", 3 + 3 * i));
    x = stage.units[0](x);
    x = stage.down(x.with(elu(x.frames)));
  }
  check_numbers(x.frames, "encodec.encoder_layer.9");

  SeanetDecoder<R64> decoder(ctx, c);
  x = frames_of(ctx, "encodec.decoder_layer.1");
  for (long i = 0; i < 3; ++i) {
    auto& stage = decoder.stages[static_cast<size_t>(i)];
    load_conv(ctx, stage.up, layer("encodec.decoder", 3 + 3 * i));
    load_unit(ctx, stage.units[0], layer("encodec.decoder", 4 + 3 * i));
    x = stage.units[0](stage.up(x.with(elu(x.frames))));
  }
  load_conv(ctx, decoder.last, layer("encodec.decoder", 12));
  check_numbers(decoder.last(x.with(elu(x.frames))).frames, "encodec.audio_values");
}

TEST_CASE("SEANet has exact gradients", "[seanet]") {
  const auto there_and_back = [](const auto& samples) {
    auto& ctx = samples.context();
    using B = std::remove_cvref_t<decltype(ctx.backend())>;
    ctx.random() = Random{3, 0};  // the weights
    const SeanetEncoder<B> encoder(ctx, small());
    const SeanetDecoder<B> decoder(ctx, small());
    return decoder(encoder(Waveform<B>{samples, {}, 0})).samples;
  };
  const auto result = compare(Cpu{}, there_and_back, std::tuple{normal(Shape<2>{2, 20}, 1)});
  // Ten layers of single precision, each with a rounding of 6e-8 for each of tens of terms.
  CHECK(result.value < 5e-6);
  CHECK(result.gradients[0] < 2e-5);
}

TEST_CASE("a SEANet stream gives what its recording gives", "[seanet]") {
  Context<Cpu> ctx;
  const SeanetEncoder<Cpu> encoder(ctx, small());
  const SeanetDecoder<Cpu> decoder(ctx, small());
  const long hop = small().hop();
  REQUIRE(hop == 6);
  const std::vector<long> lengths{50, 17, 36};
  const Waveform<Cpu> x = waves(ctx, 3, 50, 7, lengths);
  const Sequence<Cpu> whole = encoder(x);
  const Waveform<Cpu> sound = decoder(whole);
  CHECK(whole.time() == 9);
  CHECK(std::vector<long>{whole.length(0), whole.length(1), whole.length(2)} == std::vector<long>{9, 3, 6});
  CHECK(sound.time() == 54);
  CHECK(sound.rate == 1200);
  CHECK(whole.rate == 200);
  const auto want = values_of(whole.frames), want_sound = values_of(sound.samples);
  for (const long chunk : {1, 2, 5, 9}) {
    CAPTURE(chunk);
    auto state = encoder.start(3);
    auto back = decoder.start(3);
    for (long from = 0; from < 50; from += chunk * hop) {
      const long take = std::min(chunk * hop, 50 - from);
      std::vector<long> left;
      left.reserve(lengths.size());
      for (const long n : lengths) left.push_back(std::clamp(n - from, 0L, take));
      const Sequence<Cpu> y =
          encoder(Waveform<Cpu>{slice(x.samples, 1, from, from + take), lengths_of(ctx, left), 1200}, state);
      const Waveform<Cpu> z = decoder(y, back);
      const auto got = values_of(y.frames), got_sound = values_of(z.samples);
      for (long n = 0; n < 3; ++n) {
        REQUIRE(y.length(n) == (left[static_cast<size_t>(n)] + hop - 1) / hop);
        REQUIRE(z.length(n) == y.length(n) * hop);
        for (long t = 0; t < y.length(n) * 5; ++t)
          CHECK(std::fabs(got[static_cast<size_t>(n * y.time() * 5 + t)] -
                          want[static_cast<size_t>((n * 9 + from / hop) * 5 + t)]) < 1e-6f);
        // The products of few rows are summed in another order: a few roundings of values below 1.
        for (long t = 0; t < z.length(n); ++t)
          CHECK(std::fabs(got_sound[static_cast<size_t>(n * z.time() + t)] -
                          want_sound[static_cast<size_t>(n * 54 + from + t)]) < 1e-6f);
      }
    }
    CHECK_THROWS_AS(encoder(waves(ctx, 3, 6, 1), state), StateError);
    restart_stream(state, 1);
    const auto again = encoder(waves(ctx, 3, 6, 1, {0, 6, 0}), state);
    CHECK(again.length(1) == 1);
  }
  auto state = encoder.start(2);
  CHECK_THROWS_WITH(encoder(waves(ctx, 3, 6, 1), state), Catch::Contains("3 streams, but its state was started for 2"));
}

TEST_CASE("a padded SEANet batch equals its utterances", "[seanet]") {
  Context<Cpu> ctx;
  const SeanetEncoder<Cpu> encoder(ctx, small());
  const SeanetDecoder<Cpu> decoder(ctx, small());
  const std::vector<long> lengths{31, 1, 0, 12};
  const Waveform<Cpu> x = waves(ctx, 4, 31, 11, lengths);
  const auto batch = decoder(encoder(x));
  const auto together = values_of(batch.samples);
  for (long n = 0; n < 4; ++n) {
    const long length = lengths[static_cast<size_t>(n)];
    const auto alone = decoder(encoder(Waveform<Cpu>{slice(slice(x.samples, 0, n, n + 1), 1, 0, length), {}, 1200}));
    CHECK(alone.time() == (length + 5) / 6 * 6);
    CHECK(batch.length(n) == alone.time());
    const auto values = values_of(alone.samples);
    for (long t = 0; t < alone.time(); ++t)  // as above
      CHECK(std::fabs(values[static_cast<size_t>(t)] - together[static_cast<size_t>(n * batch.time() + t)]) < 1e-6f);
  }
}

TEST_CASE("SEANet refuses sizes that make no sense", "[seanet]") {
  Context<Cpu> ctx;
  CHECK_THROWS_AS(SeanetEncoder<Cpu>(ctx, {.channels = 1}), ConfigError);
  CHECK_THROWS_AS(SeanetDecoder<Cpu>(ctx, {.strides = {2, 0}}), ConfigError);
  const SeanetDecoder<Cpu> decoder(ctx, small());
  CHECK_THROWS_AS(decoder({ctx.constant(ctx.zeros(Shape<3>{1, 4, 6})), {}, 0}), ShapeError);
  CHECK(SeanetConfig::soundstream().hop() == 320);
  CHECK(SeanetConfig::mimi().hop() == 960);
  // Published sizes: 12.6 and 14.7 million weights.
  CHECK(std::fabs(static_cast<double>(parameter_count(SeanetEncoder<Cpu>(ctx, SeanetConfig::mimi()))) - 12.6e6) <
        0.1e6);
  CHECK(std::fabs(static_cast<double>(parameter_count(SeanetDecoder<Cpu>(ctx, SeanetConfig::mimi()))) - 14.7e6) <
        0.1e6);
}

TEST_CASE("standardised convolutions give values of mean 0 and variance 1", "[seanet]") {
  for (const bool normed : {true, false}) {
    CAPTURE(normed);
    Context<Cpu> ctx;
    SeanetConfig c = small();
    c.normed = normed;
    const SeanetEncoder<Cpu> encoder(ctx, c);
    const SeanetDecoder<Cpu> decoder(ctx, c);
    const Waveform<Cpu> x = waves(ctx, 3, 120, 5, {120, 61, 90});
    /// Mean and standard deviation of the real frames, of one channel or (-1) of all.
    const auto moments = [](const Sequence<Cpu>& y, long channel) {
      const auto values = values_of(y.frames);
      double sum = 0, square = 0, count = 0;
      for (long n = 0; n < y.batch(); ++n)
        for (long i = 0; i < y.length(n) * y.channels(); ++i)
          if (channel < 0 || i % y.channels() == channel) {
            const double v = values[static_cast<size_t>(n * y.time() * y.channels() + i)];
            sum += v, square += v * v, count += 1;
          }
      return std::pair(sum / count, std::sqrt(square / count - sum * sum / count / count));
    };
    const Sequence<Cpu> latents = encoder.standardise(as_column(x));
    for (long channel = 0; channel < c.dims; ++channel) {
      const auto [mean, deviation] = moments(latents, channel);
      CHECK(std::fabs(mean) < 1e-5);  // single precision
      CHECK(std::fabs(deviation - 1) < 1e-5);
    }
    // What it returned is what the encoder makes of it now, and inner layers have the same moments.
    CHECK(values_of(encoder(x).frames) == values_of(latents.frames));
    const auto [mean, deviation] =
        moments(encoder.first(Sequence<Cpu>{reshape(x.samples, Shape<3>{3, 120, 1}), x.lengths, 0}), 2);
    CHECK(std::fabs(mean) < 1e-5);
    CHECK(std::fabs(deviation - 1) < 1e-5);

    const Sequence<Cpu> sound = decoder.standardise(latents, 0.1);
    const auto [level_mean, level] = moments(sound, -1);
    CHECK(std::fabs(level_mean) < 1e-6);
    CHECK(std::fabs(level - 0.1) < 1e-6);
    CHECK_THROWS_AS(encoder.standardise(as_column(waves(ctx, 2, 12, 1, {0, 0}))), ShapeError);
  }
}
