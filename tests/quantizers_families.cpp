// Laws of the quantizers that are built from others or from none.
#include <map>
#include <set>

#include "phonaut/parallel/threads.hpp"
#include "phonaut/testing/visit_check.hpp"
#include "quantizers_small.hpp"

using namespace phonaut;
using namespace phonaut::testing;

TEST_CASE("composed quantizers decode what they encode, frame by frame, padding apart", "[quantizers]") {
  Context<Cpu> ctx;
  check_laws(ctx, grouped(ctx), 4, false);
  check_laws(ctx, masked(ctx), 5, false);
  check_laws(ctx, split(ctx), 5, false);
  check_laws(ctx, factorised(ctx), 4, false);
  check_laws(ctx, gumbel(ctx), 4, false);
  check_laws(ctx, mvq(ctx), 6, false);
  // Signs of signs are the same signs.
  check_laws(ctx, LookupFreeQuantizer<Cpu>(ctx, {.bits = 4}), 4, true);
  check_laws(ctx, LookupFreeQuantizer<Cpu>(ctx, {.bits = 4, .spherical = true}), 4, true);
  check_laws(ctx, BinarySphericalQuantizer<Cpu>(ctx, {.bits = 4}), 4, true);
}

TEST_CASE("visit shows every weight of every quantizer once", "[quantizers]") {
  using phonaut::testing::visit_problem;
  CHECK(visit_problem<Reference>([](auto& ctx) { return grouped(ctx); }) == "");
  CHECK(visit_problem<Reference>([](auto& ctx) { return masked(ctx); }) == "");
  CHECK(visit_problem<Reference>([](auto& ctx) { return split(ctx); }) == "");
  CHECK(visit_problem<Reference>([](auto& ctx) { return factorised(ctx); }) == "");
  CHECK(visit_problem<Reference>([](auto& ctx) { return gumbel(ctx); }) == "");
  CHECK(visit_problem<Reference>([](auto& ctx) { return mvq(ctx); }) == "");
  CHECK(visit_problem<Reference>([](auto& ctx) { return clusters(ctx); }) == "");
  CHECK(visit_problem<Reference>([](auto& ctx) {
          return GlobalQuantizer<Reference>(ctx, {.dims = 4, .groups = 2, .codebook = {.entries = 5}});
        }) == "");
  CHECK(visit_problem<Reference>([](auto& ctx) {
          return RandomProjectionQuantizer<Reference>(ctx, {.features = 3, .dims = 4, .entries = 5});
        }) == "");
  CHECK(visit_problem<Reference>([](auto& ctx) {
          return MultiCodebookPrediction<Reference>(ctx, {.channels = 3, .hidden = 4, .books = 2, .entries = 5});
        }) == "");
}

TEST_CASE("composed codebooks follow the data in training and never in inference", "[quantizers]") {
  const auto check = [](const auto& make, long channels) {
    Context<Cpu> ctx;
    const auto quantizer = make(ctx);
    const auto before = state_of(ctx, quantizer);
    const auto x = frames(ctx, {2, 6, channels}, 1, {6, 4});
    quantizer(x);
    quantizer.encode(x);
    ctx.set_recording(true);  // recording is not training
    quantizer(frames(ctx, {2, 6, channels}, 1));
    ctx.clear();
    CHECK(state_of(ctx, quantizer) == before);
    ctx.train();
    quantizer.encode(frames(ctx, {2, 6, channels}, 1));  // nor is encoding, whatever the mode
    CHECK(state_of(ctx, quantizer) == before);
    quantizer(frames(ctx, {2, 6, channels}, 1));
    ctx.clear();
    CHECK(state_of(ctx, quantizer) != before);
  };
  check([](auto& ctx) { return grouped(ctx); }, 4);
  check([](auto& ctx) { return masked(ctx); }, 5);
  check([](auto& ctx) { return split(ctx); }, 5);
  check([](auto& ctx) { return GlobalQuantizer<Cpu>(ctx, {.dims = 4, .groups = 2, .codebook = {.entries = 5}}); }, 4);
  Context<Cpu> ctx;
  const auto online = clusters(ctx);
  const auto before = state_of(ctx, online);
  const std::vector targets{frames(ctx, {2, 6, 4}, 1), frames(ctx, {2, 6, 4}, 2)};
  const auto codes = host_codes(ctx, online(targets));
  CHECK(state_of(ctx, online) == before);
  ctx.train();
  CHECK(host_codes(ctx, online.encode(targets)) == codes);
  CHECK(state_of(ctx, online) == before);
  // The codes of a step are those of the clusters from before it moved them.
  CHECK(host_codes(ctx, online(targets)) == codes);
  CHECK(state_of(ctx, online) != before);
}

TEST_CASE("padded frames never touch the statistics of a codebook", "[quantizers]") {
  // The same frames, once as utterances of 5, 0 and 3 with NaN behind them, once as one utterance of 8.
  const auto check = [](const auto& make, long channels) {
    std::map<std::string, std::vector<double>> states[2];
    for (const bool padded : {false, true}) {
      Context<Reference64> ctx;
      const auto quantizer = make(ctx);
      ctx.train();
      const auto x = frames(ctx, {3, 5, channels}, 4, {5, 0, 3});
      quantizer(padded ? x : Sequence<Reference64>{reshape(valid_frames(x), Shape<3>{1, 8, channels}), {}, 50});
      ctx.clear();
      states[padded] = state_of(ctx, quantizer);
    }
    CHECK(states[0] == states[1]);
  };
  check([](auto& ctx) { return grouped(ctx); }, 4);
  check([](auto& ctx) { return masked(ctx); }, 5);
  check([](auto& ctx) { return split(ctx); }, 5);
}

TEST_CASE("ranks keep all codebooks of the whole batch", "[quantizers][threads]") {
  const auto check = [](const auto& make, long channels) {
    const auto run = [&](const Ranks& ranks, long first, long count) {
      Context<Reference64> ctx;
      const auto quantizer = make(ctx, CodebookOptions{.entries = 9});
      ctx.join(ranks);
      ctx.train();
      const auto all = normal(Shape<3>{1, 30, channels}, 11).data;
      const std::vector<double> own(all.begin() + first * channels, all.begin() + (first + count) * channels);
      const auto y = quantizer(Sequence<Reference64>{input(ctx, Shape<3>{1, count, channels}, own), {}, 0});
      auto state = state_of(ctx, quantizer);
      state["loss"] = {item(y.loss)};
      ctx.clear();
      return state;
    };
    const auto whole = run({}, 0, 30);
    std::vector<std::map<std::string, std::vector<double>>> each(2);
    run_on_threads(2, [&](const Ranks& ranks) {
      each[static_cast<size_t>(ranks.rank())] = run(ranks, ranks.rank() * 12, ranks.first() ? 12 : 18);
    });
    CHECK(each[0] == each[1]);
    for (const auto& [name, values] : whole)
      for (size_t i = 0; i < values.size(); ++i) CHECK(each[0].at(name)[i] == Approx(values[i]).margin(1e-13));
  };
  check([](auto& ctx, const CodebookOptions& book) { return grouped(ctx, book); }, 4);
  check([](auto& ctx, const CodebookOptions& book) { return masked(ctx, book); }, 5);
  check([](auto& ctx, const CodebookOptions& book) { return split(ctx, book); }, 5);
}

TEST_CASE("a grouped quantizer decodes to any depth, and deeper is nearer", "[quantizers]") {
  Context<Cpu> ctx;
  const auto quantizer = grouped(ctx, {.entries = 9, .kmeans_iterations = 5});
  ctx.train();
  for (int step = 0; step < 3; ++step) {
    ctx.set_step(step);
    quantizer(frames(ctx, {2, 30, 4}, 5));
    ctx.clear();
  }
  ctx.infer();
  const auto x = frames(ctx, {2, 30, 4}, 5);
  double before = std::numeric_limits<double>::infinity();
  for (const long depth : {1L, 2L, 3L}) {
    const auto codes = quantizer.encode(x, depth);
    CHECK(codes.extent(2) == 2 * depth);
    const double error = squared_error(x.frames, quantizer.decode(ctx, codes));
    CHECK(error < before);
    before = error;
  }
  // Codebooks of different groups are initialised from different draws.
  CHECK(values_of(ctx, quantizer.groups[0].levels[0].entries()) !=
        values_of(ctx, quantizer.groups[1].levels[0].entries()));
  CHECK_THROWS_AS(quantizer.decode(ctx, phonaut::detail::take_levels(ctx, quantizer.encode(x), 0, 3)), ShapeError);
}

// Decoding needs the entry as it is: at unit length it has lost its size.
TEST_CASE("level dropout masks values and losses of an utterance, and the residual goes on", "[quantizers]") {
  Context<Cpu> ctx;
  const auto rvq = factorised(ctx);
  const auto x = frames(ctx, {3, 5, 4}, 4, {5, 4, 0});
  const auto y = rvq(x, {1, 3, 2});
  const auto all = host_codes(ctx, rvq.encode(x)), codes = host_codes(ctx, y.codes);
  const long depths[] = {1, 3, 2}, lengths[] = {5, 4, 0};
  for (long n = 0; n < 3; ++n)
    for (long t = 0; t < 5; ++t)
      for (long q = 0; q < 3; ++q) {
        const auto at = static_cast<size_t>((n * 5 + t) * 3 + q);
        CHECK(codes[at] == (q < depths[n] && t < lengths[n] ? all[at] : no_code));
      }
  const auto decoded = values_of(rvq.decode(ctx, y.codes)), values = values_of(y.quantized.frames);
  // Rounding of the products may differ with the number of rows.
  for (size_t i = 0; i < values.size(); ++i) CHECK(decoded[i] == Approx(values[i]).margin(1e-5));
  // Losses are means over the two utterances that have frames, each alone with its depth.
  double want = 0;
  for (const long n : {0L, 1L}) {
    const auto alone = packed(slice(slice(x.frames, 0, n, n + 1), 1, 0, lengths[n]));
    want += 0.5 * static_cast<double>(item(rvq({alone, {}, 0}, {depths[n]}).commitment));
  }
  CHECK(static_cast<double>(item(y.commitment)) == Approx(want));
  CHECK_THROWS_AS(rvq(x, {1, 2}), ShapeError);
}

TEST_CASE("utterances may skip a split quantizer in training", "[quantizers]") {
  Context<Cpu> ctx;
  ctx.train();
  SplitResidualQuantizer<Cpu> quantizer(
      ctx, {.channels = 5, .dims = 3, .codebook = {.entries = 9}, .skip_probability = 0.5});
  const auto x = frames(ctx, {40, 2, 5}, 3);
  const auto in = values_of(x.frames), out = values_of(quantizer(x).quantized.frames);
  ctx.clear();
  long same = 0;
  for (auto from = in.begin(), to = out.begin(); from != in.end(); from += 10, to += 10)
    same += std::equal(from, from + 10, to);
  CHECK(same > 8);  // 20 on average, with a deviation of 3.2
  CHECK(same < 32);
  ctx.infer();
  CHECK(values_of(quantizer(frames(ctx, {40, 2, 5}, 3)).quantized.frames) != in);
}

// The published encoder runs a plain residual chain, though training gave each of the first books its own channels.
TEST_CASE("a soft mixture is no entry, and its gradient reaches all of them", "[quantizers]") {
  Context<Reference64> ctx;
  ctx.train();
  const auto quantizer = gumbel(ctx, false);
  const auto y = quantizer(frames(ctx, {1, 3, 4}, 5));
  CHECK(values_of(y.quantized.frames) != values_of(quantizer.decode(ctx, y.codes)));
  CHECK(item(y.perplexity) > 2);
  CHECK(item(y.perplexity) <= 10);
  const auto d = to_vector(ctx.backward(sum(y.quantized.frames))[quantizer.codebook]);
  for (const double v : d) CHECK(v > 0);
}

// FSQ counts the first channel as the least significant digit, LFQ and BSQ as the most significant bit.
TEST_CASE("entropies over all codes are those of an enumeration, and of the bits where both are defined",
          "[quantizers]") {
  Context<Reference64> ctx;
  const auto x = input(ctx, Shape<2>{7, 4}, normal(Shape<2>{7, 4}, 3).data);
  const auto host = values_of(x);
  const kernel::CornerSoftmax soft{.inverse_temperature = 0.4, .magnitude = 0.5, .clamp = 1e-30};
  double sample = 0, mean = 0;
  std::vector<double> average(16, 0.0);
  for (size_t r = 0; r < 7; ++r) {
    std::vector<double> p(16);
    double total = 0;
    for (size_t code = 0; code < 16; ++code) {
      double dot = 0;
      for (size_t k = 0; k < 4; ++k) dot += host[r * 4 + k] * (code >> (3 - k) & 1 ? 0.5 : -0.5);
      total += p[code] = std::exp(2 * 0.4 * dot);
    }
    for (size_t code = 0; code < 16; ++code) {
      p[code] /= total;
      average[code] += p[code] / 7;
      sample -= p[code] * std::log(p[code]) / 7;
    }
  }
  for (const double p : average) mean -= p * std::log(p);
  const auto got = values_of(corner_entropies(x, soft));
  CHECK(got[0] == Approx(sample));
  CHECK(got[1] == Approx(mean));
  const auto bits = bit_entropies(2 * soft.gain() * x);
  CHECK(item(bits.sample) == Approx(sample));
  CHECK(item(bits.mean) >= mean);  // an upper bound: means of products are not products of means
  CHECK_THROWS_AS(LookupFreeQuantizer<Reference64>(ctx, {.bits = 18}), ConfigError);
  CHECK_THROWS_AS(BinarySphericalQuantizer<Reference64>(ctx, {.bits = 31}), ConfigError);
}

TEST_CASE("a random projection is frozen, scale-free and cuts stacks by lengths", "[quantizers]") {
  Context<Cpu> ctx;
  const RandomProjectionQuantizer<Cpu> quantizer(ctx, {.features = 3, .dims = 4, .entries = 20, .books = 2});
  CHECK(parameter_count(quantizer) == 0);
  const auto x = frames(ctx, {3, 11, 3}, 4, {11, 3, 9});
  const auto y = quantizer(x);
  CHECK(y.codes.shape() == Shape<3>{3, 2, 2});
  CHECK(to_vector(y.quantized.lengths) == std::vector<long>{2, 0, 2});
  CHECK(y.quantized.rate == 12.5);
  const auto codes = host_codes(ctx, y.codes);
  for (size_t i = 0; i < codes.size(); ++i) CHECK((codes[i] == no_code) == (i / 4 == 1));
  // Alone an utterance has the same labels, and so it has louder or shifted: features are normalised.
  auto values = values_of(slice(slice(x.frames, 0, 2, 3), 1, 0, 9));
  for (float& v : values) v = 8 * v + 2;
  const auto alone = host_codes(ctx, quantizer.encode({input(ctx, Shape<3>{1, 9, 3}, values), {}, 50}));
  CHECK(alone == std::vector<std::int32_t>(codes.begin() + 8, codes.end()));
  // Stacks may overlap.
  const RandomProjectionQuantizer<Cpu> overlapping(ctx, {.features = 3, .stride = 2, .dims = 4, .entries = 20});
  CHECK(overlapping.encode(x).extent(1) == 4);
  CHECK(overlapping.targets(3) == 0);
  const auto none = frames(ctx, {1, 3, 3}, 4);
  CHECK(quantizer.encode(none).size() == 0);
  CHECK(overlapping.encode(none).size() == 0);
  CHECK_THROWS_AS(RandomProjectionQuantizer<Cpu>(ctx, {.features = 3, .stack = 0}), ConfigError);
}

TEST_CASE("the joint search finds the nearest sum of entries of two books, and of any that are orthogonal",
          "[quantizers]") {
  Context<Cpu> ctx;
  // One or two books of few entries: the search looks at every sum.
  for (const auto& [books, entries] : {std::pair{1L, 16L}, {2L, 4L}}) {
    const auto quantizer = mvq(ctx, books, entries);
    const auto x = frames(ctx, {1, 30, 6}, 4);
    auto all = ctx.empty_of<std::int32_t, 3>({1, 16, books});
    for (std::int32_t i = 0; i < 16; ++i)
      for (long b = 0, rest = i; b < books; ++b, rest /= entries)
        all.data()[i * books + b] = static_cast<std::int32_t>(rest % entries);
    const auto host = values_of(x.frames), sums = values_of(quantizer.decode(ctx, all));
    double best = 0;
    for (size_t t = 0; t < 30; ++t) {
      double nearest = std::numeric_limits<double>::infinity();
      for (size_t i = 0; i < 16; ++i) {
        double square = 0;
        for (size_t d = 0; d < 6; ++d)
          square += std::pow(static_cast<double>(host[t * 6 + d]) - static_cast<double>(sums[i * 6 + d]), 2);
        nearest = std::min(nearest, square);
      }
      best += nearest / 180;
    }
    CHECK(squared_error(x.frames, quantizer.decode(ctx, quantizer.encode(x, 0))) > best);
    CHECK(squared_error(x.frames, quantizer.decode(ctx, quantizer.encode(x, 1))) == Approx(best));
  }
  // Eight books with a dimension each: the nearest entry of each book, whatever the others are.
  MultiCodebookQuantizer<Cpu> apart(ctx, {.dims = 8, .books = 8, .entries = 32});
  const auto entries = normal(Shape<2>{8, 32}, 5).data;
  std::vector<float> centers(8 * 32 * 8, 0.f);
  for (size_t i = 0; i < 256; ++i) centers[i * 8 + i / 32] = static_cast<float>(entries[i]);
  assign(ctx.backend(), apart.centers.tensor(), centers);
  const auto x = frames(ctx, {1, 30, 8}, 4);
  const auto host = values_of(x.frames);
  const auto codes = host_codes(ctx, apart.encode(x, 1));
  for (size_t i = 0; i < 240; ++i) {
    const auto distance = [&](size_t k) { return std::fabs(entries[i % 8 * 32 + k] - static_cast<double>(host[i])); };
    for (size_t k = 0; k < 32; ++k) CHECK(distance(static_cast<size_t>(codes[i])) <= distance(k) + 1e-6);
  }
}

TEST_CASE("codes of several books fit into bytes, and books are joined in pairs without loss", "[quantizers]") {
  Context<Cpu> ctx;
  for (const auto& [books, entries] : {std::pair{1L, 16L}, {2L, 4L}, {4L, 8L}, {8L, 2L}, {4L, 256L}}) {
    std::vector<std::int32_t> codes;
    for (long i = 0; i < 15 * books; ++i) codes.push_back(static_cast<std::int32_t>(i * 7 % entries));
    const auto bytes = phonaut::detail::pack_code_bytes(codes, books, entries);
    CHECK(phonaut::detail::unpack_code_bytes(bytes, books, entries) == codes);
    if (entries == 8) {  // 64 <= 256, and 64² is more
      CHECK(bytes.size() == 30);
      CHECK(bytes[0] == codes[0] + 8 * codes[1]);
    }
  }
  const auto pairs = mvq(ctx, 4, 4);
  const auto product = pairs.product(ctx);
  CHECK(product.config.books == 2);
  CHECK(product.config.entries == 16);
  const auto x = frames(ctx, {1, 30, 6}, 4);
  // With all sums of pairs at hand the search can only find better ones.
  CHECK(squared_error(x.frames, product.decode(ctx, product.encode(x))) <=
        squared_error(x.frames, pairs.decode(ctx, pairs.encode(x))) * 1.0001);
  CHECK_THROWS_AS(mvq(ctx, 3), ConfigError);
  CHECK_THROWS_AS(phonaut::detail::pack_code_bytes({0}, 1, 512), ShapeError);
}

TEST_CASE("a prediction of codes leaves out padding and codes that are not there", "[quantizers]") {
  Context<Cpu> ctx;
  const MultiCodebookPrediction<Cpu> prediction(ctx, {.channels = 3, .hidden = 4, .books = 2, .entries = 5});
  const auto x = frames(ctx, {2, 4, 3}, 4, {4, 2});
  auto codes = ctx.empty_of<std::int32_t, 3>({2, 4, 2});
  for (long i = 0; i < 16; ++i) codes.data()[i] = static_cast<std::int32_t>(i < 12 ? i % 5 : no_code);
  const double both = static_cast<double>(item(prediction(x, codes)));
  double apart = 0;
  for (const long n : {0L, 1L}) {
    const long length = x.length(n);
    const auto alone = packed(slice(slice(x.frames, 0, n, n + 1), 1, 0, length));
    auto own = ctx.empty_of<std::int32_t, 3>({1, length, 2});
    std::copy_n(codes.data() + n * 8, length * 2, own.data());
    apart += static_cast<double>(item(prediction({alone, {}, 0}, own)));
  }
  CHECK(both == Approx(apart));
  codes.data()[0] = codes.data()[1] = no_code;
  CHECK(static_cast<double>(item(prediction(x, codes))) < both);
  codes.data()[0] = 5;
  CHECK_THROWS_AS(prediction(x, codes), ShapeError);
  CHECK_THROWS_AS(MultiCodebookPrediction<Cpu>(ctx, {.channels = 3, .books = 1}), ConfigError);
}

TEST_CASE("Wasserstein's distance to a codebook is that of an assignment, and pulls idle entries", "[quantizers]") {
  Context<Reference64> ctx;
  ctx.set_recording(true);
  // Two points, two entries, equal weights: the best assignment costs (1 + 4) / 2, though -1 is as near to 1 as 3 is.
  // The smoothed distance is larger by ε log 2, the information in a choice of one of two. The plan comes near to
  // that assignment as 1 / iterations.
  const auto z = ctx.variable(input(ctx, Shape<2>{2, 1}, std::vector{0.0, 1.0}).tensor());
  const auto c = ctx.variable(input(ctx, Shape<2>{2, 1}, std::vector{-1.0, 3.0}).tensor());
  const auto loss = wasserstein_codes<Reference64>(z, c, {}, {.smoothing = 0.05, .iterations = 500});
  CHECK(item(loss) == Approx(2.5 + 0.05 * std::log(2)).margin(1e-3));
  const auto gradients = ctx.backward(loss);
  const auto dz = to_vector(gradients[z]), dc = to_vector(gradients[c]);
  CHECK(dz[0] == Approx(1).margin(0.01));
  CHECK(dz[1] == Approx(-2).margin(0.01));
  CHECK(dc[0] == Approx(-1).margin(0.01));  // towards 0
  CHECK(dc[1] == Approx(2).margin(0.01));   // towards 1
  CHECK(item(wasserstein_codes<Reference64>(ctx.constant(ctx.zeros(Shape<2>{0, 1})), c)) == 0);
  CHECK_THROWS_AS(wasserstein_codes<Reference64>(z, c, {}, {.smoothing = 0}), ConfigError);
}

TEST_CASE("global codes are one per utterance, whatever its padding, and come back to every frame", "[quantizers]") {
  Context<Reference64> ctx;
  const GlobalQuantizer<Reference64> quantizer(ctx, {.dims = 4, .groups = 2, .codebook = {.entries = 5}});
  ctx.set_recording(true);
  const auto x = frames(ctx, {3, 5, 4}, 4, {5, 0, 3});
  const auto y = quantizer(x);
  CHECK(y.codes.shape() == Shape<3>{3, 1, 2});
  const auto codes = host_codes(ctx, y.codes);
  for (size_t i = 0; i < 6; ++i) CHECK((codes[i] == no_code) == (i / 2 == 1));
  CHECK(codes == host_codes(ctx, quantizer.encode(x)));
  CHECK(values_of(quantizer.decode(ctx, y.codes)) == values_of(y.quantized.frames));
  const auto alone = packed(slice(slice(x.frames, 0, 2, 3), 1, 0, 3));
  CHECK(host_codes(ctx, quantizer.encode({alone, {}, 0})) == std::vector<std::int32_t>(codes.begin() + 4, codes.end()));
  // The gradient of every frame comes to the one vector, and through it to the mean.
  const auto local = Sequence<Reference64>{ctx.constant(ctx.zeros(Shape<3>{3, 5, 4})), x.lengths, 50};
  const auto everywhere = add_to_frames(local, y.quantized.frames);
  const auto values = values_of(everywhere.frames), one = values_of(y.quantized.frames);
  for (size_t i = 0; i < 60; ++i) {
    const size_t n = i / 20, t = i % 20 / 4;
    CHECK(values[i] == (static_cast<long>(t) < x.length(static_cast<long>(n)) ? one[n * 4 + i % 4] : 0));
  }
  const auto dx = to_vector(ctx.backward(sum(everywhere.frames))[x.frames]);
  for (size_t i = 0; i < 60; ++i)
    CHECK(dx[i] == Approx(static_cast<long>(i % 20 / 4) < x.length(static_cast<long>(i / 20)) ? 1 : 0).margin(1e-14));
}

TEST_CASE("quantizers that cannot be built say why", "[quantizers]") {
  Context<Cpu> ctx;
  CHECK_THROWS_AS(GroupedResidualQuantizer<Cpu>(ctx, {.dims = 5, .groups = 2}), ConfigError);
  CHECK_THROWS_AS(MaskedChannelQuantizer<Cpu>(ctx, {.dims = 2}), ConfigError);
  CHECK_THROWS_AS(MaskedChannelQuantizer<Cpu>(ctx, {.dims = 9, .levels = 2}), ConfigError);
  CHECK_THROWS_AS(SplitResidualQuantizer<Cpu>(ctx, {.channels = 4, .dims = 2, .acoustic_levels = 0}), ConfigError);
  CHECK_THROWS_AS(FactorisedResidualQuantizer<Cpu>(ctx, {.dims = 4, .levels = 0}), ConfigError);
  CHECK_THROWS_AS(LookupFreeQuantizer<Cpu>(ctx, {.bits = 0}), ConfigError);
  CHECK_THROWS_AS(OnlineClusters<Cpu>(ctx, {.dims = 4, .layers = 0}), ConfigError);
}
