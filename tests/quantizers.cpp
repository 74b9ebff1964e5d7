// Laws of the quantizers, and the published bugs of their kind as tests.
#include <unistd.h>

#include <filesystem>
#include <map>
#include <numeric>
#include <set>

#include "phonaut/parallel/threads.hpp"
#include "phonaut/quantizers/fsq.hpp"
#include "phonaut/quantizers/rvq.hpp"
#include "phonaut/quantizers/sign_codes.hpp"
#include "phonaut/training/checkpoint.hpp"
#include "quantizers_support.hpp"

using namespace phonaut;
using phonaut::testing::check_laws;
using phonaut::testing::frames;
using phonaut::testing::normal;
using phonaut::testing::state_of;

namespace {

CodebookOptions small_book() { return {.entries = 9}; }
template <class B>
ResidualQuantizer<B> small_rvq(Context<B>& ctx, const CodebookOptions& book = small_book()) {
  return {ctx, {.dims = 4, .levels = 3, .codebook = book}};
}

}  // namespace

TEST_CASE("quantizers decode what they encode, frame by frame, padding apart", "[quantizers]") {
  Context<Cpu> ctx;
  check_laws(ctx, VectorQuantizer<Cpu>(ctx, {.dims = 4, .codebook = small_book()}), 4, true);
  check_laws(ctx, VectorQuantizer<Cpu>(ctx, {.dims = 4, .codebook = {.entries = 9, .trained = true}}), 4, true);
  check_laws(ctx, FiniteScalarQuantizer<Cpu>(ctx, {.levels = {8, 5, 5}, .groups = 2}), 6, false);
  check_laws(ctx, FiniteScalarQuantizer<Cpu>(ctx, {.levels = {3, 2}, .bound = FsqBound::tan}), 2, false);
}

TEST_CASE("a residual quantizer decodes to any depth, and deeper is nearer", "[quantizers]") {
  Context<Cpu> ctx;
  // Codebooks that fit the data: each level is fitted to what the ones before left over.
  auto rvq = small_rvq(ctx, {.entries = 9, .kmeans_iterations = 5});
  ctx.train();
  for (int step = 0; step < 3; ++step) {
    ctx.set_step(step);
    rvq(frames(ctx, {2, 30, 4}, 5, {30, 20}));
    ctx.clear();
  }
  ctx.infer();
  const auto x = frames(ctx, {2, 30, 4}, 5, {30, 20});
  const auto y = rvq(x);
  CHECK(values_of(rvq.decode(ctx, y.codes)) == values_of(y.quantized.frames));
  CHECK(host_codes(ctx, rvq.encode(x)) == host_codes(ctx, y.codes));
  double before = std::numeric_limits<double>::infinity();
  for (const long depth : {1L, 2L, 3L}) {
    const auto codes = rvq.encode(x, depth);
    CHECK(codes.extent(2) == depth);
    const auto rows = valid_rows(x);
    const double error =
        static_cast<double>(item(mse_loss(take_rows(x.frames, rows), take_rows(rvq.decode(ctx, codes), rows))));
    CHECK(error < before);
    before = error;
  }
  CHECK(rvq.bits(2) == Approx(2 * std::log2(9)));
  CHECK_THROWS_AS(rvq.encode(x, 4), ConfigError);
}

TEST_CASE("codebooks follow the data in training and never in inference", "[quantizers]") {
  Context<Cpu> ctx;
  const auto rvq = small_rvq(ctx);
  const auto before = state_of(ctx, rvq);
  rvq(frames(ctx, {2, 6, 4}, 1));
  ctx.set_recording(true);  // recording is not training
  rvq(frames(ctx, {2, 6, 4}, 1));
  ctx.clear();
  CHECK(state_of(ctx, rvq) == before);
  ctx.train();
  rvq(frames(ctx, {2, 6, 4}, 1));
  ctx.clear();
  CHECK(state_of(ctx, rvq) != before);
}

TEST_CASE("every entry is its sum over its smoothed count", "[quantizers]") {
  for (const auto smoothing : {EmaRule::Smoothing::laplace, EmaRule::Smoothing::clamp})
    for (const auto revival : {EmaRule::Revival::none, EmaRule::Revival::before}) {
      Context<Reference64> ctx;
      ctx.train();
      EmaRule rule{.decay = 0.9, .smoothing = smoothing, .revival = revival, .threshold = 0.5};
      const VectorQuantizer<Reference64> vq(ctx, {.dims = 4, .codebook = {.entries = 9, .rule = rule}});
      for (int step = 0; step < 5; ++step) {
        ctx.set_step(step);
        vq(frames(ctx, {2, 20, 4}, static_cast<std::uint64_t>(step)));
        ctx.clear();
      }
      const auto entries = to_vector(vq.level.book.embedding.tensor());
      vq.level.book.refresh(ctx, rule);
      const auto again = to_vector(vq.level.book.embedding.tensor());
      for (size_t i = 0; i < entries.size(); ++i) CHECK(entries[i] == Approx(again[i]).margin(1e-14));
    }
}

// EnCodec 0.1.1 replaces a dead entry in the codebook alone; the running average of the same step writes the old one
// back.
TEST_CASE("a revived entry stays where it was put", "[quantizers][regression]") {
  for (const auto revival : {EmaRule::Revival::before, EmaRule::Revival::after}) {
    Context<Cpu> ctx;
    ctx.train();
    EmaRule rule{.revival = revival, .threshold = revival == EmaRule::Revival::after ? 1.5 : 0.5};
    const VectorQuantizer<Cpu> vq(ctx, {.dims = 4, .codebook = {.entries = 5, .rule = rule}});
    // An entry far from all points, which nobody has used for long.
    const Codebook<Cpu>& book = vq.level.book;
    for (long d = 0; d < 4; ++d) book.embedding.tensor().data()[d] = book.embedding_sum.tensor().data()[d] = 1000;
    book.cluster_size.tensor().data()[0] = 0.01f;
    for (long d = 0; d < 4; ++d) book.embedding_sum.tensor().data()[d] = 10;
    for (int step = 0; step < 3; ++step) {
      ctx.set_step(step);
      vq(frames(ctx, {1, 40, 4}, static_cast<std::uint64_t>(step)));
      ctx.clear();
    }
    for (const float v : to_vector(book.embedding.tensor())) CHECK(std::fabs(v) < 10);
  }
}

// EnCodec 0.1.1 stores the means of k-means as running sums, so that the first update divides them by the counts.
TEST_CASE("the first update after k-means does not shrink the codebook", "[quantizers][regression]") {
  Context<Cpu> ctx;
  ctx.train();
  const VectorQuantizer<Cpu> vq(ctx, {.dims = 4, .codebook = {.entries = 5, .kmeans_iterations = 10}});
  vq(frames(ctx, {1, 400, 4}, 3));
  ctx.clear();
  double size = 0;
  for (const float v : to_vector(vq.level.book.embedding.tensor())) size += static_cast<double>(v * v);
  ctx.set_step(1);
  vq(frames(ctx, {1, 400, 4}, 3));
  ctx.clear();
  double after = 0;
  for (const float v : to_vector(vq.level.book.embedding.tensor())) after += static_cast<double>(v * v);
  CHECK(size > 1);
  CHECK(after == Approx(size).epsilon(0.02));
}

// Published EnCodec training subtracts the straight-through value from the residual: only the first level has a
// gradient.
TEST_CASE("every level of a residual quantizer has a commitment gradient", "[quantizers][regression]") {
  for (const bool published : {false, true}) {
    Context<Reference64> ctx;
    ctx.set_recording(true);
    const ResidualQuantizer<Reference64> rvq(ctx, {.dims = 4,
                                                   .levels = 3,
                                                   .codebook = {.entries = 9, .commitment_weight = 1},
                                                   .residual_through_estimator = published});
    const auto x = frames(ctx, {1, 6, 4}, 2);
    // dx = Σ_i 2 r_{i+1} / (numel · levels) over the levels that have a gradient, r_{i+1} = r_i - q_i.
    std::vector<double> want(24, 0);
    auto left = to_vector(x.frames.tensor());
    for (long i = 0; i < 3; ++i) {
      const auto& level = rvq.levels[static_cast<size_t>(i)];
      const auto rows = input(ctx, Shape<2>{6, 4}, left);
      const auto q = to_vector(level.look_up(ctx, level.encode(rows)));
      for (size_t j = 0; j < left.size(); ++j) {
        left[j] -= q[j];
        if (!published || i == 0) want[j] += 2 * left[j] / (24.0 * 3);
      }
    }
    const auto dx = to_vector(ctx.backward(rvq(x).loss)[x.frames]);
    for (size_t j = 0; j < dx.size(); ++j) CHECK(dx[j] == Approx(want[j]).margin(1e-14));
  }
}

TEST_CASE("a straight-through value is the quantized one to the last bit", "[quantizers][regression]") {
  for (const bool training : {false, true}) {
    Context<Cpu> ctx;
    if (training) ctx.train();
    const VectorQuantizer<Cpu> vq(ctx, {.dims = 4, .codebook = {.entries = 9, .trained = true}});
    const auto x = frames(ctx, {1, 50, 4}, 2);
    const auto y = vq(x);
    CHECK(values_of(y.quantized.frames) == values_of(vq.decode(ctx, y.codes)));
  }
}

TEST_CASE("levels are fitted by k-means one step after the other", "[quantizers]") {
  Context<Cpu> ctx;
  const auto rvq = small_rvq(ctx, {.entries = 9, .kmeans_iterations = 3});
  const auto x = frames(ctx, {1, 9, 4}, 7);  // as many points as entries: one level leaves nothing over
  CHECK(host_codes(ctx, rvq(x).codes) == std::vector<std::int32_t>(27, no_code));
  ctx.train();
  for (long step = 0; step < 3; ++step) {
    ctx.set_step(step);
    const auto codes = host_codes(ctx, rvq(frames(ctx, {1, 40, 4}, static_cast<std::uint64_t>(step))).codes);
    ctx.clear();
    for (long q = 0; q < 3; ++q) CHECK((codes[static_cast<size_t>(q)] != no_code) == (q <= step));
  }
}

TEST_CASE("a codebook knows whether it was fitted, whoever writes to it", "[quantizers]") {
  Context<Cpu> ctx;
  ctx.train();
  const VectorQuantizer<Cpu>::Config config{.dims = 4, .codebook = {.entries = 5, .kmeans_iterations = 2}};
  const auto folder = std::filesystem::temp_directory_path();
  const std::string waiting = (folder / concat("phonaut_waiting_", ::getpid(), ".safetensors")).string(),
                    fitted = (folder / concat("phonaut_fitted_", ::getpid(), ".safetensors")).string();
  VectorQuantizer<Cpu> vq(ctx, config);
  save(waiting, vq);
  CHECK_FALSE(vq.level.ready(ctx));
  const auto same = vq;                              // shares the codebook
  const auto before = deep_copy(vq, ctx.backend());  // has its own
  vq(frames(ctx, {1, 20, 4}, 1));
  save(fitted, vq);
  const auto after = deep_copy(vq, ctx.backend());
  CHECK(vq.level.ready(ctx));
  CHECK(same.level.ready(ctx));
  CHECK_FALSE(before.level.ready(ctx));
  CHECK(after.level.ready(ctx));

  load(waiting, vq);
  CHECK_FALSE(vq.level.ready(ctx));
  CHECK_FALSE(same.level.ready(ctx));
  CHECK(after.level.ready(ctx));
  vq(frames(ctx, {1, 20, 4}, 1));  // is fitted once more, as before
  CHECK(to_vector(vq.level.book.embedding.tensor()) == to_vector(after.level.book.embedding.tensor()));
  CHECK(same.level.ready(ctx));

  VectorQuantizer<Cpu> fresh(ctx, config);
  CHECK_FALSE(fresh.level.ready(ctx));
  load(fitted, fresh);
  CHECK(fresh.level.ready(ctx));
  before(frames(ctx, {1, 20, 4}, 2));
  CHECK(before.level.ready(ctx));
  std::filesystem::remove(waiting);
  std::filesystem::remove(fitted);
}

TEST_CASE("level dropout gives deeper levels no code and no say", "[quantizers]") {
  Context<Cpu> ctx;
  const auto rvq = small_rvq(ctx);
  const auto x = frames(ctx, {3, 5, 4}, 4, {5, 4, 5});
  const auto y = rvq(x, {1, 3, 2});
  const auto all = host_codes(ctx, rvq.encode(x)), codes = host_codes(ctx, y.codes);
  const long depths[] = {1, 3, 2};
  const long lengths[] = {5, 4, 5};
  for (long n = 0; n < 3; ++n)
    for (long t = 0; t < 5; ++t)
      for (long q = 0; q < 3; ++q) {
        const auto at = static_cast<size_t>((n * 5 + t) * 3 + q);
        CHECK(codes[at] == (q < depths[n] && t < lengths[n] ? all[at] : no_code));
      }
  CHECK(values_of(rvq.decode(ctx, y.codes)) == values_of(y.quantized.frames));
  // In training depths are drawn; two runs with the same draws agree.
  ResidualQuantizer<Cpu> dropping(ctx, {.dims = 4,
                                        .levels = 3,
                                        .codebook = small_book(),
                                        .dropout = LevelDropout::per_item,
                                        .dropout_probability = 0.7});
  std::set<long> seen;
  for (int i = 0; i < 50; ++i) {
    const auto drawn = dropping.draw_depths(ctx, 3);
    CHECK(drawn[2] == 3);  // ⌊3 · 0.7⌋ = 2 utterances are cut
    seen.insert(drawn[0]);
  }
  CHECK(seen == std::set<long>{1, 2, 3});
  CHECK_THROWS_AS(rvq(x, {1, 2}), ShapeError);
}

TEST_CASE("ranks keep the codebook of the whole batch", "[quantizers][threads]") {
  // k-means at the start, dead entries that take over points of any rank, and a rank that has no point at all.
  const auto run = [](const Ranks& ranks, const std::vector<long>& sizes) {
    Context<Reference64> ctx;
    CodebookOptions options = small_book();
    options.rule.revival = EmaRule::Revival::after;
    options.rule.threshold = 0.5;
    options.kmeans_iterations = 2;
    const VectorQuantizer<Reference64> vq(ctx, {.dims = 4, .codebook = options});
    ctx.join(ranks);
    ctx.train();
    const auto all = normal(Shape<3>{1, 60, 4}, 11).data;
    const auto rank = static_cast<size_t>(ranks.rank());
    const long own = sizes[rank], first = std::accumulate(sizes.begin(), sizes.begin() + ranks.rank(), 0L);
    for (const long step : {0L, 1L}) {
      ctx.set_step(step);
      const auto begin = all.begin() + (30 * step + first) * 4;
      vq(Sequence<Reference64>{input(ctx, Shape<3>{1, own, 4}, std::vector<double>(begin, begin + own * 4)), {}, 0});
      ctx.clear();
    }
    return state_of(ctx, vq);
  };
  const auto whole = run({}, {30});
  std::vector<std::map<std::string, std::vector<double>>> each(3);
  run_on_threads(3, [&](const Ranks& ranks) { each[static_cast<size_t>(ranks.rank())] = run(ranks, {12, 0, 18}); });
  CHECK(each[0] == each[1]);
  CHECK(each[0] == each[2]);
  for (const auto& [name, values] : whole)
    for (size_t i = 0; i < values.size(); ++i) CHECK(each[0].at(name)[i] == Approx(values[i]).margin(1e-13));
}

TEST_CASE("the nearest code is the first of equals, on every instruction set and number of threads",
          "[quantizers][threads]") {
  const auto values = normal(Shape<2>{70, 6}, 1).data;
  auto table = normal(Shape<2>{75, 6}, 2).data;
  std::copy_n(table.begin() + 6, 6, table.begin() + 40L * 6);  // entries 1, 40 and 74 are the same
  std::copy_n(table.begin() + 6, 6, table.begin() + 74L * 6);
  auto points = values;
  std::copy_n(table.begin() + 6, 6, points.begin());
  Context<Reference64> exact;
  const auto want = to_vector(nearest_code(exact, input(exact, Shape<2>{70, 6}, points).tensor(),
                                           input(exact, Shape<2>{75, 6}, table).tensor()));
  CHECK(want[0] == 1);
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa > best_isa()) continue;
    for (const int threads : {1, 2}) {
      Context<Cpu> ctx(Cpu{{}, threads, isa});
      const auto got = to_vector(
          nearest_code(ctx, input(ctx, Shape<2>{70, 6}, points).tensor(), input(ctx, Shape<2>{75, 6}, table).tensor()));
      CHECK(got == want);
    }
  }
}

TEST_CASE("scalars and signs become the codes of the formulas, on every instruction set and number of threads",
          "[quantizers][threads]") {
  Context<Reference64> exact;
  const auto on_every = [](const auto& check) {
    for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
      for (const int threads : {1, 2})
        if (isa <= best_isa()) {
          Context<Cpu> ctx(Cpu{{}, threads, isa});
          check(ctx);
        }
  };
  struct Grid {
    std::vector<long> levels;
    FsqBound bound;
  };
  // Few levels, whose edges are known; many, which go through tanh; more channels than a register has lanes.
  for (const Grid& grid :
       {Grid{{8, 5, 5, 5}, FsqBound::atanh}, Grid{{8, 5, 5, 5}, FsqBound::tan}, Grid{{2, 7, 3}, FsqBound::tan},
        Grid{{1000, 99}, FsqBound::atanh}, Grid{std::vector<long>(19, 3), FsqBound::atanh}})
    for (const long rows : {1L, 15L, 16L, 33L, 9000L}) {
      const FsqLevels levels(grid.levels, grid.bound, 1e-3);
      const auto z = normal(Shape<2>{rows, levels.channels}, 5, 2);
      const auto [value, index] = fsq_codes(input(exact, z.shape, z.data), levels);
      const auto bounded = values_of(fsq_bound(input(exact, z.shape, z.data), levels)), want = values_of(value);
      const auto codes = to_vector(index);
      on_every([&](Context<Cpu>& ctx) {
        const auto x = input(ctx, z.shape, z.data);
        const auto own = fsq_codes(x, levels);
        const auto got = values_of(own.first);
        const auto numbers = to_vector(own.second);
        CHECK(to_vector(fsq_indices(x, levels)) == numbers);
        long wrong = 0;
        for (size_t r = 0; r < numbers.size(); ++r) {
          bool sure = true;  // near one half, float may round to the other side
          for (long c = 0; c < levels.channels; ++c) {
            const size_t i = r * static_cast<size_t>(levels.channels) + static_cast<size_t>(c);
            const double fraction = bounded[i] - std::floor(bounded[i]);
            const bool clear = std::fabs(fraction - 0.5) > 1e-6 * static_cast<double>(levels.count[c]);
            wrong += clear && std::fabs(static_cast<double>(got[i]) - want[i]) > 1e-6;
            sure = sure && clear;
          }
          wrong += sure && numbers[r] != codes[r];
        }
        CHECK(wrong == 0);
      });
    }
  for (const long bits : {1L, 4L, 16L, 18L, 30L})
    for (const long rows : {1L, 37L, 3000L}) {
      auto values = normal(Shape<2>{rows, bits}, 6);
      values.data[0] = 0;  // goes to minus
      const auto [value, index] = detail::sign_codes(input(exact, values.shape, values.data), 0.5);
      const auto want = values_of(value);
      const auto codes = to_vector(index);
      on_every([&](Context<Cpu>& ctx) {
        const auto own = detail::sign_codes(input(ctx, values.shape, values.data), 0.5);
        const auto got = values_of(own.first);
        CHECK(to_vector(own.second) == codes);
        CHECK(std::vector<double>(got.begin(), got.end()) == want);
      });
    }
}

TEST_CASE("a frame of NaN gets a code, and the others keep theirs", "[quantizers]") {
  Context<Cpu> ctx;
  auto values = normal(Shape<3>{1, 3, 4}, 1).data;
  const VectorQuantizer<Cpu> vq(ctx, {.dims = 4, .codebook = small_book()});
  const auto before = host_codes(ctx, vq.encode({input(ctx, Shape<3>{1, 3, 4}, values), {}, 0}));
  for (size_t i = 4; i < 8; ++i) values[i] = std::numeric_limits<double>::quiet_NaN();
  const auto codes = host_codes(ctx, vq.encode({input(ctx, Shape<3>{1, 3, 4}, values), {}, 0}));
  CHECK(codes == std::vector<std::int32_t>{before[0], 0, before[2]});
  const FiniteScalarQuantizer<Cpu> fsq(ctx, {.levels = {5, 5, 5, 5}});
  CHECK(host_codes(ctx, fsq.encode({input(ctx, Shape<3>{1, 3, 4}, values), {}, 0}))[1] == 0);
}

TEST_CASE("k-means finds clusters, with more clusters than points too", "[quantizers]") {
  Context<Cpu> ctx;
  // Three tight groups.
  std::vector<double> points;
  for (int i = 0; i < 60; ++i)
    for (int d = 0; d < 2; ++d) points.push_back(10 * (i % 3) * (d == 0) + 0.01 * ((i * 7 + d * 3) % 5));
  const auto x = input(ctx, Shape<2>{60, 2}, points).tensor();
  const auto clusters = kmeans(ctx, x, 3, {.iterations = 20, .seeding = KmeansOptions::Seeding::plus_plus});
  for (const float n : to_vector(clusters.counts)) CHECK(n == 20);
  for (int i = 3; i < 60; ++i)
    CHECK(to_vector(clusters.codes)[static_cast<size_t>(i)] == to_vector(clusters.codes)[static_cast<size_t>(i % 3)]);
  const auto few = ctx.clone(slice(ctx.constant(x), 0, 0, 2).tensor());
  for (const auto seeding : {KmeansOptions::Seeding::rows, KmeansOptions::Seeding::plus_plus})
    for (const float v : to_vector(kmeans(ctx, few, 5, {.seeding = seeding}).means)) CHECK(std::isfinite(v));
  CHECK_THROWS_AS(kmeans(ctx, ctx.empty(Shape<2>{0, 2}), 3), ShapeError);
}

TEST_CASE("finite scalar codes and indices are the same thing", "[quantizers]") {
  Context<Cpu> ctx;
  for (const FsqBound bound : {FsqBound::tan, FsqBound::atanh}) {
    const FiniteScalarQuantizer<Cpu> fsq(ctx, {.levels = {8, 5, 3}, .bound = bound});
    auto codes = ctx.empty_of<std::int32_t, 3>({1, 120, 1});
    for (long i = 0; i < 120; ++i) codes.data()[i] = static_cast<std::int32_t>(i);
    const auto values = fsq.decode(ctx, codes);
    std::set<std::vector<float>> different;
    const auto host = values_of(values);
    for (size_t i = 0; i < 120; ++i)
      different.insert({host.begin() + static_cast<long>(3 * i), host.begin() + static_cast<long>(3 * i + 3)});
    CHECK(different.size() == 120);
    // The first channel is the least significant digit; values run over [-1, 1], even levels to 1 - 2/L.
    CHECK(std::vector<float>(host.begin(), host.begin() + 6) == std::vector<float>{-1, -1, -1, -0.75f, -1, -1});
    CHECK(host[size_t{3} * 119] == 0.75f);
    CHECK(host[3 * 119 + 1] == 1);
    // Zero is the code zero in both conventions.
    const auto zero = fsq(Sequence<Cpu>{ctx.constant(ctx.zeros(Shape<3>{1, 1, 3})), {}, 0});
    CHECK(values_of(zero.quantized.frames) == std::vector<float>{0, 0, 0});
    CHECK(fsq.bits() == Approx(std::log2(120)));
  }
  CHECK_THROWS_AS(FiniteScalarQuantizer<Cpu>(ctx, {.levels = {2, 5}}), ConfigError);
  CHECK_THROWS_AS(FiniteScalarQuantizer<Cpu>(ctx, {.levels = {}}), ConfigError);
  CHECK_THROWS_AS(FiniteScalarQuantizer<Cpu>(ctx, {.levels = std::vector<long>(20, 8)}), ConfigError);
}

TEST_CASE("usage counts entries and leaves out padding", "[quantizers]") {
  Context<Cpu> ctx;
  auto codes = ctx.empty_of<std::int32_t, 3>({1, 5, 1});
  const std::int32_t values[] = {2, 0, 2, no_code, 0};
  std::copy_n(values, 5, codes.data());
  const CodeUsage usage = code_usage(ctx, codes, 0, 4);
  CHECK(usage.histogram == std::vector<long>{2, 0, 2, 0});
  CHECK(usage.frames == 4);
  CHECK(usage.coverage() == 0.5);
  CHECK(usage.perplexity == Approx(2));
  CHECK(usage.entropy_bits() == Approx(1));
  CHECK_THROWS_AS(code_usage(ctx, codes, 0, 2), ShapeError);
  CHECK_THROWS_AS(code_usage(ctx, codes, 1, 4), ShapeError);
}

TEST_CASE("cosine search takes directions, and the rotation trick turns gradients", "[quantizers]") {
  Context<Reference64> ctx;
  ctx.set_recording(true);
  CodebookOptions options{.entries = 2, .trained = true, .cosine = true, .estimator = Estimator::rotation};
  VectorQuantizer<Reference64> vq(ctx, {.dims = 2, .codebook = options});
  assign(ctx.backend(), vq.level.table.tensor(), std::vector<double>{0, 5, 1, 0});
  const auto x = ctx.variable(input(ctx, Shape<3>{1, 1, 2}, std::vector{0.1, 0.9}).tensor());
  const auto y = vq({x, {}, 0});
  CHECK(host_codes(ctx, y.codes)[0] == 0);  // the same direction, though (1, 0) is nearer
  CHECK(values_of(y.quantized.frames) == std::vector<double>{0, 5});
  // The gradient along q comes back along x, scaled by |q|/|x|.
  const auto weights = input(ctx, Shape<3>{1, 1, 2}, std::vector{0.0, 1.0});
  const auto dx = to_vector(ctx.backward(sum(weights * y.quantized.frames))[x]);
  const double norm = std::sqrt(0.82), scale = 5 / norm;
  CHECK(dx[0] == Approx(scale * 0.1 / norm));
  CHECK(dx[1] == Approx(scale * 0.9 / norm));
}
