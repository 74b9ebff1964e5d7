// Streaming equals offline: for any chunks, any pieces, and batches whose streams start and end on their own.
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <thread>

#include "allocation_counter.hpp"
#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "phonaut/testing/gradient_check.hpp"
#include "phonaut/training/checkpoint.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// Numbers of a test that repeat with its seed.
struct Dice {
  std::mt19937 engine;
  long between(long least, long most) { return std::uniform_int_distribution<long>(least, most)(engine); }
  bool one_in(long n) { return between(1, n) == 1; }
  long one_of(std::initializer_list<long> values) {
    return values.begin()[between(0, static_cast<long>(values.size()) - 1)];
  }
};

struct Setting {
  ZipformerConfig config;
  Chunking chunking;
};

/// A small causal encoder with stacks at several rates, and chunks that it can work with.
Setting any_setting(Dice& dice) {
  Setting s;
  s.config.output_downsample = dice.one_of({1, 2, 2});
  long divisor = s.config.output_downsample, reach = 1;
  for (long i = dice.between(1, 3); i-- > 0;) {
    const long rate = dice.one_of({1, 2, 4}), kernel = dice.one_of({1, 3, 5, 9});
    s.config.stacks.push_back({.dim = dice.between(2, 5),
                               .layers = dice.between(1, 2),
                               .heads = dice.between(1, 2),
                               .feedforward = dice.between(4, 6),
                               .kernel = kernel,
                               .downsample = rate,
                               .query_head = dice.between(1, 3),
                               .value_head = dice.between(1, 3),
                               .pos_head = dice.between(1, 2),
                               .pos_dim = 4,
                               .causal = true});
    divisor = std::max(divisor, rate);  // 1, 2 or 4: the largest is a multiple of the others
    reach = std::max(reach, kernel / 2 * rate);
  }
  s.chunking.frames = divisor * dice.between(1, 4);
  s.chunking.left = s.chunking.frames * ((reach - 1) / s.chunking.frames + dice.between(1, 3));
  return s;
}

/// Weights away from their start, where scales and biases are such that mistakes may not show.
template <class B, class Model>
Model shaken(const B& backend, Model model, std::uint64_t seed) {
  for_each_param(model, [&](const std::string&, auto& p) {
    using S = typename B::Scalar;
    auto values = to_vector(p.tensor());
    const Draws draws = Random{seed++, 0}.take(p.size());
    for (size_t i = 0; i < values.size(); ++i) values[i] += S(0.3 * draws.normal(static_cast<long>(i)));
    assign(backend, p.tensor(), values);
  });
  return model;
}

/// Frames of one recording, (T, C).
struct Recording {
  std::vector<double> values;
  long frames = 0;

  Recording(long frames_, long channels, std::uint64_t seed)
      : values(normal(Shape<2>{frames_, channels}, seed).data), frames(frames_) {}
};

template <class B>
std::vector<double> rows_of(const Sequence<B>& y, long n) {
  const auto all = values_of(y.frames);
  const auto begin = all.begin() + n * y.time() * y.channels();
  return {begin, begin + y.length(n) * y.channels()};
}

/// One place of a batch of streams: recordings one after the other, with pauses between them.
struct Place {
  long recording = -1, at = 0, pause = 0;
  bool busy() const { return recording >= 0; }
};

/// Streams `recordings` through a batch of `places`, `time(dice)` frames at a time, and returns what each gives.
/// `model` has start, streaming call and, through `finish(state)`, an end.
template <class B, class Model, class State, class Time, class Finish>
std::vector<std::vector<double>> streamed(Context<B>& ctx, const Model& model, State& state, long channels,
                                          const std::vector<Recording>& recordings, Dice& dice, const Time& time,
                                          const Finish& finish) {
  std::vector<std::vector<double>> results(recordings.size());
  const long batch = state.streams.batch();
  std::vector<Place> places(static_cast<size_t>(batch));
  long next = 0;
  for (long n = 0; n < batch; ++n) {
    if (dice.one_in(2)) continue;  // starts at once
    state.streams.close(n);
    places[static_cast<size_t>(n)].pause = dice.between(0, 3);
  }
  const auto keep = [&](const Sequence<B>& y) {
    for (long n = 0; n < batch; ++n) {
      const auto rows = rows_of(y, n);
      const Place& place = places[static_cast<size_t>(n)];
      if (!place.busy()) {
        CHECK(rows.empty());
        continue;
      }
      auto& result = results[static_cast<size_t>(place.recording)];
      result.insert(result.end(), rows.begin(), rows.end());
    }
  };
  const long all = static_cast<long>(recordings.size());
  const auto fed = [&](const Place& place) {
    return !place.busy() || place.at == recordings[static_cast<size_t>(place.recording)].frames;
  };
  for (;;) {
    bool busy = false;
    for (long n = 0; n < batch; ++n) {
      Place& place = places[static_cast<size_t>(n)];
      if (!place.busy() && next < all && place.pause-- <= 0) {
        place = {next++, 0, 0};
        if (!state.streams.open(n)) restart_stream(state, n);
      } else if (!place.busy() && state.streams.open(n)) {
        state.streams.close(n);  // nothing is left for it
      }
      busy = busy || place.busy();
    }
    if (!busy && next == all) return results;
    if (busy && next == all && dice.one_in(2) && std::all_of(places.begin(), places.end(), fed)) {
      keep(finish(state));  // the sound ends for everybody
      return results;
    }
    const long count = time(dice);
    // Whatever stands behind the end of a stream must not matter.
    std::vector<double> values(static_cast<size_t>(batch * count * channels), not_a_number);
    std::vector<long> lengths;
    for (long n = 0; n < batch; ++n) {
      Place& place = places[static_cast<size_t>(n)];
      lengths.push_back(0);
      if (!place.busy()) continue;
      const Recording& r = recordings[static_cast<size_t>(place.recording)];
      lengths.back() = std::min(count, r.frames - place.at);
      std::copy_n(r.values.begin() + place.at * channels, lengths.back() * channels,
                  values.begin() + n * count * channels);
      place.at += lengths.back();
    }
    keep(model(sequence_of(input(ctx, Shape<3>{batch, count, channels}, values), lengths), state));
    for (long n = 0; n < batch; ++n)
      if (Place& place = places[static_cast<size_t>(n)]; place.busy() && !state.streams.open(n))
        place = {-1, 0, dice.between(0, 3)};
  }
}

/// Compares with each recording alone, in one call.
template <class B, class Model>
void check_same(Context<B>& ctx, const Model& model, const Chunking& chunking, long channels,
                const std::vector<Recording>& recordings, const std::vector<std::vector<double>>& got,
                double tolerance) {
  for (size_t i = 0; i < recordings.size(); ++i) {
    const Recording& r = recordings[i];
    const auto want =
        rows_of(model(Sequence<B>{input(ctx, Shape<3>{1, r.frames, channels}, r.values), {}, 100}, chunking), 0);
    INFO("recording " << i << " of " << r.frames << " frames, chunk " << chunking.frames << ", left " << chunking.left);
    REQUIRE(got[i].size() == want.size());
    double scale = 0, worst = 0;
    for (double w : want) scale = std::max(scale, std::fabs(w));
    for (size_t k = 0; k < want.size(); ++k)
      worst = std::isnan(got[i][k]) ? INFINITY : std::max(worst, std::fabs(got[i][k] - want[k]));
    CHECK(worst <= tolerance * scale);
  }
}

/// Rounding of sums of at most a hundred terms through at most six layers, whose norms and products pass it on a few
/// times larger: some hundred units. A frame, key or scale that is not the right one changes the first digits.
template <class B>
constexpr double rounding = 300 * static_cast<double>(std::numeric_limits<typename B::Scalar>::epsilon());

template <class B>
void check_encoder(unsigned seed) {
  Dice dice{std::mt19937(seed)};
  Context<B> ctx;
  const Setting s = any_setting(dice);
  const auto model = shaken(ctx.backend(), Zipformer<B>(ctx, s.config), seed);
  const long channels = s.config.stacks.front().dim, c = s.chunking.frames;
  std::vector<Recording> recordings;
  for (long i = dice.between(3, 6); i-- > 0;)
    recordings.emplace_back(dice.one_in(3) ? c * dice.between(1, 5) : dice.between(1, 5 * c), channels,
                            100 * seed + static_cast<unsigned>(i));
  auto state = model.start(dice.between(1, 3), s.chunking);
  const auto finish = [&](auto& st) {
    const auto nothing = input(ctx, Shape<3>{st.streams.batch(), 1, channels},
                               std::vector<double>(static_cast<size_t>(st.streams.batch() * channels), not_a_number));
    return model(sequence_of(nothing, std::vector<long>(static_cast<size_t>(st.streams.batch()), 0)), st);
  };
  const auto got = streamed(
      ctx, model, state, channels, recordings, dice, [c](Dice&) { return c; }, finish);
  check_same(ctx, model, s.chunking, channels, recordings, got, rounding<B>);
}

template <class B>
ZipformerEncoder<B> any_model(Context<B>& ctx, const ZipformerConfig& config, unsigned seed) {
  return shaken(ctx.backend(), ZipformerEncoder<B>(ctx, {.encoder = config, .features = 9, .channels = {2, 3, 4}}),
                seed);
}

template <class B>
void check_whole(unsigned seed) {
  Dice dice{std::mt19937(seed)};
  Context<B> ctx;
  const Setting s = any_setting(dice);
  const auto model = any_model(ctx, s.config, seed);
  const long window = 2 * s.chunking.frames + 13;
  std::vector<Recording> recordings;
  for (long i = dice.between(3, 6); i-- > 0;)
    recordings.emplace_back(dice.between(9, 4 * window), 9, 100 * seed + static_cast<unsigned>(i));
  auto state = model.start(dice.between(1, 3), s.chunking);
  const bool regular = dice.one_in(2);  // always one chunk, or pieces of any length
  const auto got = streamed(
      ctx, model, state, 9, recordings, dice,
      [&](Dice& d) { return regular ? 2 * s.chunking.frames : d.between(0, 3 * window); },
      [&](auto& st) { return model.finish(ctx, st); });
  check_same(ctx, model, s.chunking, 9, recordings, got, rounding<B>);
}

ZipformerConfig small_config() {
  ZipformerConfig c;
  c.stacks = {{.dim = 6, .layers = 2, .heads = 2, .feedforward = 8, .kernel = 7, .query_head = 4, .pos_dim = 8},
              {.dim = 8, .layers = 1, .heads = 2, .feedforward = 8, .kernel = 5, .downsample = 2, .pos_dim = 8},
              {.dim = 4, .layers = 1, .heads = 1, .feedforward = 8, .kernel = 3, .downsample = 4, .pos_dim = 8}};
  return c.causal();
}
constexpr Chunking small_chunks{8, 16};

/// Piece i of a batch of endless streams.
Sequence<Cpu> piece(Context<Cpu>& ctx, long batch, long frames, std::uint64_t i) {
  const Shape<3> shape{batch, frames, 9};
  return {input(ctx, shape, normal(shape, i).data), {}, 100};
}

}  // namespace

TEST_CASE("streaming equals offline, whatever the chunks", "[zipformer][streaming]") {
  for (unsigned seed = 0; seed < 60; ++seed) {
    INFO("seed " << seed);
    check_encoder<Reference64>(seed);
    if (seed % 3 == 0) check_encoder<Cpu>(seed);
  }
}

TEST_CASE("features in pieces of any length give what they give together", "[zipformer][streaming]") {
  for (unsigned seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    check_whole<Reference64>(seed);
    if (seed % 3 == 0) check_whole<Cpu>(seed);
  }
}

TEST_CASE("one stack streams by itself", "[zipformer][streaming]") {
  Context<Reference64> ctx;
  const auto stack = shaken(
      ctx.backend(),
      ZipformerStack<Reference64>(
          ctx, {.dim = 5, .layers = 2, .heads = 2, .feedforward = 6, .kernel = 5, .downsample = 2, .causal = true}),
      3);
  auto state = stack.start(2, {4, 8});
  Dice dice{std::mt19937(1)};
  std::vector<Recording> recordings;
  for (long frames : {17L, 4L, 1L, 30L}) recordings.emplace_back(frames, 5, static_cast<std::uint64_t>(frames));
  const auto got = streamed(
      ctx, stack, state, 5, recordings, dice, [](Dice&) { return 4L; },
      [&](auto& st) {
        return stack(
            sequence_of(input(ctx, Shape<3>{2, 1, 5}, std::vector<double>(10, not_a_number)), std::vector<long>{0, 0}),
            st);
      });
  check_same(ctx, stack, {4, 8}, 5, recordings, got, rounding<Reference64>);
}

TEST_CASE("picked outputs are those of the chunks, with their rates", "[zipformer][streaming]") {
  Context<Reference64> ctx;
  const auto model = shaken(ctx.backend(), Zipformer<Reference64>(ctx, small_config()), 5);
  const Recording r(24, 6, 7);
  const Sequence<Reference64> x{input(ctx, Shape<3>{1, 24, 6}, r.values), {}, 50};
  const std::vector<ZipformerPick> picks{{.stack = 1, .layer = 0}, {}, {.stack = 0}, {.stack = 2, .layer = 0}};
  const auto whole = model.encode(x, picks, small_chunks);
  CHECK(whole[0].rate == 25);
  CHECK(whole[1].rate == 25);
  CHECK(whole[2].rate == 50);
  CHECK(whole[3].rate == 12.5);
  CHECK(whole[3].frames.shape() == Shape<3>{1, 6, 4});
  CHECK(rows_of(whole[1], 0) == rows_of(model(x, small_chunks), 0));

  auto state = model.start(1, small_chunks);
  std::vector<std::vector<double>> got(picks.size());
  for (long i = 0; i < 3; ++i) {
    const auto found = model.encode({slice(x.frames, 1, 8 * i, 8 * i + 8), {}, 50}, picks, state);
    for (size_t k = 0; k < picks.size(); ++k) {
      CHECK(found[k].rate == whole[k].rate);
      const auto rows = rows_of(found[k], 0);
      got[k].insert(got[k].end(), rows.begin(), rows.end());
    }
  }
  for (size_t k = 0; k < picks.size(); ++k) {
    const auto want = rows_of(whole[k], 0);
    REQUIRE(got[k].size() == want.size());
    for (size_t i = 0; i < want.size(); ++i) CHECK(std::fabs(got[k][i] - want[i]) <= 1e-12 * (1 + std::fabs(want[i])));
  }
  CHECK(model.encode(x, {{.stack = 0, .layer = 1}})[0].frames.shape() == Shape<3>{1, 24, 6});
  CHECK(message_of<ConfigError>([&] { model.encode(x, {{.stack = 3}}); }) ==
        "zipformer: stack 3 is none of the 3 of this encoder");
  CHECK(message_of<ConfigError>([&] { model.encode(x, {{.stack = 1, .layer = 2}}); }) ==
        "zipformer: layer 2 is none of the 1 of stack 1");
}

TEST_CASE("a state that was saved goes on bit for bit", "[zipformer][streaming]") {
  Context<Cpu> ctx;
  const auto model = any_model(ctx, small_config(), 11);
  auto state = model.start(2, small_chunks);
  for (std::uint64_t i = 0; i < 5; ++i) model(piece(ctx, 2, 19, i), state);

  const TemporaryFolder folder;
  const std::string path = folder / "state.safetensors";
  save(path, state);
  auto loaded = model.start(2, small_chunks), copy = deep_copy(state, ctx.backend());
  load(path, loaded);
  std::set<std::string> names;
  for_each_weight(loaded, [&](const std::string& name, const auto&) { names.insert(name); });
  CHECK(names.size() == 2 + 2 + 1 + 2 + 6 * 4);
  CHECK(names.count("encoder.layers.2.0.cached_nonlin_attn") == 1);

  for (std::uint64_t i = 5; i < 9; ++i) {
    const auto x = piece(ctx, 2, 19, i);
    const auto want = to_vector(model(x, state).frames.tensor());
    CHECK(to_vector(model(x, loaded).frames.tensor()) == want);
    CHECK(to_vector(model(x, copy).frames.tensor()) == want);
  }
  auto other = model.start(3, small_chunks);
  CHECK_THROWS_AS(load(path, other), LoadError);
}

TEST_CASE("a stream in a batch of streams is alone", "[zipformer][streaming]") {
  // What the others do, and what they are, changes not a bit of it: rows of a matrix product do not look at each other
  // as long as there are as many of them.
  Context<Cpu> ctx;
  const auto model = any_model(ctx, small_config(), 11);
  const auto run = [&](bool others) {
    auto state = model.start(3, small_chunks);
    std::vector<float> got;
    for (std::uint64_t i = 0; i < 9; ++i) {
      auto values = normal(Shape<3>{3, 16, 9}, i).data;
      if (others)
        for (size_t k = 0; k < values.size(); ++k)
          if (k < 16 * 9 || k >= 2 * 16 * 9) values[k] = -3 * values[k] + 1;
      if (others && i == 4) restart_stream(state, 0);
      std::vector<long> lengths{16, 16, 16};
      if (others && i >= 6) lengths[2] = i == 6 ? 5 : 0;
      const auto y = model(sequence_of(input(ctx, Shape<3>{3, 16, 9}, values), lengths), state);
      const auto rows = rows_of(y, 1);
      got.insert(got.end(), rows.begin(), rows.end());
    }
    return got;
  };
  CHECK(run(true) == run(false));
}

TEST_CASE("eight threads stream through one model", "[zipformer][streaming][threads]") {
  Context<Cpu> made;
  const auto model = any_model(made, small_config(), 11);
  const auto run = [&] {
    Context<Cpu> ctx;
    ctx.threads(1);
    auto state = model.start(1, small_chunks);
    std::vector<float> got;
    for (std::uint64_t i = 0; i < 6; ++i) {
      const auto y = to_vector(model(piece(ctx, 1, 23, i), state).frames.tensor());
      got.insert(got.end(), y.begin(), y.end());
    }
    return got;
  };
  const auto want = run();
  std::vector<std::vector<float>> got(8);
  std::vector<std::thread> threads;
  for (auto& result : got) threads.emplace_back([&] { result = run(); });
  for (auto& thread : threads) thread.join();
  for (const auto& result : got) CHECK(result == want);
}

TEST_CASE("streaming records nothing", "[zipformer][streaming]") {
  Context<Cpu> ctx;
  const auto model = any_model(ctx, small_config(), 11);
  auto state = model.start(1, small_chunks);
  ctx.train();
  const auto y = model(piece(ctx, 1, 60, 1), state);
  CHECK(y.frames.extent(1) == 8);
  CHECK(ctx.recorded_ops() == 0);
  CHECK(ctx.training());
  CHECK(ctx.recording());
}

TEST_CASE("after warm-up a stream allocates nothing, for an hour", "[zipformer][streaming]") {
  Context<Cpu> ctx;
  ctx.threads(1);
  const auto model = any_model(ctx, small_config(), 11);
  auto state = model.start(2, small_chunks);
  const auto x = piece(ctx, 2, 16, 1);
  const auto ragged = sequence_of(piece(ctx, 2, 16, 2).frames, std::vector<long>{16, 7});
  long frames = 0;
  const auto step = [&] { frames += model(x, state).time(); };
  const auto restart = [&] {  // a stream ends in the middle of a piece, and another takes its place
    frames += model(ragged, state).time();
    restart_stream(state, 1);
  };
  for (int i = 0; i < 20; ++i) i % 5 == 4 ? restart() : step();
  const auto reserved = ctx.pool().reserved_bytes();
  frames = 0;
  CHECK(allocations_during([&] {
          for (long i = 0; i < 360000 / 16; ++i) i % 1000 == 999 ? restart() : step();
        }) == 0);
  CHECK(ctx.pool().reserved_bytes() == reserved);
  CHECK(frames == 90000);
  CHECK(allocations_during([] { operator delete(operator new(9)); }) == 1);  // the counter works
}

TEST_CASE("streams that cannot be are told why", "[zipformer][streaming]") {
  Context<Cpu> ctx;
  const ZipformerEncoder<Cpu> model = any_model(ctx, small_config(), 11);
  const auto refused = [&](const Chunking& chunking) {
    return message_of<ConfigError>([&] { model.start(1, chunking); });
  };
  CHECK(refused({6, 16}) == "zipformer: a chunk of 6 frames does not divide by the downsampling factor 4");
  CHECK(refused({8, 18}) == "zipformer: 18 frames to the left do not divide by the downsampling factor 4");
  CHECK(refused({8, 0}) ==
        "zipformer: 0 frames to the left are fewer than the 3 that convolutions of 7 taps at downsampling 1 look back");
  CHECK(refused({8, -1}) ==
        "zipformer: a stream needs chunks of at least 1 frame and a bounded number of frames to the left, got 8 and "
        "-1");
  CHECK(refused({0, 16}) ==
        "zipformer: a stream needs chunks of at least 1 frame and a bounded number of frames to the left, got 0 and "
        "16");
  CHECK(message_of<ConfigError>([&] { model.start(0, small_chunks); }) ==
        "zipformer: a batch of 0 streams cannot be started");
  const Zipformer<Cpu> offline(ctx, {.stacks = {{.dim = 4, .feedforward = 8}}});
  CHECK(message_of<ConfigError>([&] { offline.start(1, small_chunks); }) ==
        "zipformer: chunks of 8 frames need a causal stack, and this one is not");

  auto state = model.start(2, small_chunks);
  model(piece(ctx, 2, 20, 1), state);
  CHECK(message_of<ShapeError>([&] { model(piece(ctx, 3, 20, 1), state); }) ==
        "zipformer: a chunk of shape (3, 20, 9) has 3 streams, but its state was started for 2");
  CHECK(message_of<ConfigError>([&] { state.streams.close(2); }) == "stream 2 is none of the 2 of this state");
  CHECK(message_of<ConfigError>([&] { restart_stream(state, -1); }) == "stream -1 is none of the 2 of this state");

  // A recording without a frame of the stem; then one that goes on after its end. Neither changes the state.
  const auto before = deep_copy(state, ctx.backend());
  restart_stream(state, 1);
  const auto with = [&](long first, long second) {
    return sequence_of(piece(ctx, 2, 20, 2).frames, std::vector<long>{first, second});
  };
  CHECK(message_of<ShapeError>([&] { model(with(20, 8), state); }) ==
        "zipformer: stream 1 of 2 ends after 8 frames, fewer than the 9 that it takes; close a stream that is not in "
        "use");
  CHECK(message_of<ShapeError>([&] { model(with(20, 0), state); }) ==
        "zipformer: stream 1 of 2 ends after 0 frames, fewer than the 9 that it takes; close a stream that is not in "
        "use");
  CHECK(message_of<ShapeError>([&] { model.finish(ctx, state); }) ==
        "zipformer: stream 1 of 2 ends after 0 frames, fewer than the 9 that it takes; close a stream that is not in "
        "use");
  CHECK(state.streams.processed(0) == before.streams.processed(0));
  CHECK(state.streams.open(0));
  model(with(20, 12), state);
  CHECK_FALSE(state.streams.open(1));
  CHECK(message_of<StateError>([&] { model(with(20, 5), state); }) ==
        "zipformer: stream 1 has ended after 12 frames but is given 5 more; restart it for a new recording");

  auto inner = model.encoder.start(1, small_chunks);
  const auto frames = [&](long count) { return Sequence<Cpu>{ctx.constant(ctx.zeros(Shape<3>{1, count, 6})), {}, 50}; };
  CHECK(message_of<ShapeError>([&] { model.encoder(frames(9), inner); }) ==
        "zipformer: a chunk of 9 frames is longer than the 8 that its state was started for");
  auto stem = model.encoder_embed.start(1);
  CHECK(message_of<ShapeError>([&] { model.encoder_embed(piece(ctx, 1, 14, 1), stem); }) ==
        "conv2d_subsampling: a window of 14 frames is shorter than the 15 that give one frame of a stream");
  CHECK(message_of<ShapeError>([&] { model.encoder_embed(piece(ctx, 2, 15, 1), stem); }) ==
        "conv2d_subsampling: a window of shape (2, 15, 9) has 2 streams, but its state was started for 1");
}
