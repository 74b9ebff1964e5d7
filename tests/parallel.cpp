// Ranks that train together, as threads: n of them give what one gives with n times the batch, whatever their shares;
// all have the same bits; one that fails leaves nobody waiting.
#include <atomic>
#include <mutex>

#include "catch.hpp"
#include "io_support.hpp"
#include "parallel_support.hpp"
#include "phonaut/core/recompute.hpp"
#include "phonaut/losses/contrastive.hpp"
#include "phonaut/losses/decorrelation.hpp"
#include "phonaut/losses/diversity.hpp"
#include "phonaut/losses/mutual_information.hpp"
#include "phonaut/losses/sliced_wasserstein.hpp"
#include "phonaut/losses/speaker.hpp"
#include "phonaut/parallel/threads.hpp"
#include "phonaut/quantizers/lfq.hpp"
#include "phonaut/quantizers/mvq.hpp"
#include "phonaut/quantizers/wasserstein_codes.hpp"
#include "phonaut/training/checkpoint.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

/// What each rank says. Checks of the test framework belong to one thread.
template <class T, class F>
std::vector<T> on_threads(int count, const F& f) {
  std::vector<T> said(static_cast<size_t>(count));
  run_on_threads(count, [&](const Ranks& ranks) { said[static_cast<size_t>(ranks.rank())] = f(ranks); });
  return said;
}

}  // namespace

TEST_CASE("threads tell each other sums, values and bytes", "[parallel][threads]") {
  for (const int count : {1, 2, 3, 5})
    for (const std::string& wrong : on_threads<std::string>(count, try_collectives)) CHECK(wrong == "");
  CHECK_THROWS_WITH(run_on_threads(0, [](const Ranks&) {}), "ranks: there must be at least one, got 0");
  const Ranks alone;
  CHECK(alone.all_reduce(3.0) == 3.0);
  CHECK(alone.all_gather(4) == std::vector{4});
  CHECK(try_collectives(alone) == "");
  CHECK_THROWS_AS(alone.broadcast(static_cast<int*>(nullptr), 0, 1), ConfigError);
}

TEST_CASE("ranks that want different things all learn of it", "[parallel][threads]") {
  const auto message = [](const auto& call) {
    return on_threads<std::string>(3, [&](const Ranks& ranks) { return message_of<RankError>([&] { call(ranks); }); });
  };
  for (const std::string& m : message([](const Ranks& ranks) {
         std::vector<float> values(static_cast<size_t>(10 + ranks.rank() / 2));
         ranks.all_reduce(values.data(), static_cast<long>(values.size()));
       }))
    CHECK(m == "ranks: rank 0 wants the sum of 10 floats, but rank 2 wants the sum of 11 floats");
  for (const std::string& m : message([](const Ranks& ranks) {
         if (ranks.rank() == 1) ranks.barrier();
         else ranks.all_gather(1.5);
       }))
    CHECK(m == "ranks: rank 0 wants 8 bytes of each rank, but rank 1 wants to wait for all");
}

TEST_CASE("a rank that throws or ends leaves nobody waiting", "[parallel][threads]") {
  for (const bool throws : {true, false}) {
    std::atomic<int> told{0};
    const auto run = [&] {
      run_on_threads(3, [&](const Ranks& ranks) {
        for (int i = 0; i < 5; ++i) {
          if (ranks.rank() == 1 && i == 3) {
            if (throws) throw FormatError("there is a hole in the disk");
            return;
          }
          try {
            ranks.all_reduce(1.0);
          } catch (const RankError& error) {
            const std::string want = throws ? "ranks: rank 1 has failed: there is a hole in the disk"
                                            : "ranks: rank 1 has ended while others wait for it";
            if (i == 3 && error.what() == want) ++told;
            throw;
          }
        }
      });
    };
    // Thrown is what failed first, not what followed from it.
    if (throws) CHECK_THROWS_WITH(run(), "there is a hole in the disk");
    else CHECK_THROWS_AS(run(), RankError);
    CHECK(told == 2);
  }
}

TEST_CASE("a loss or a way back that throws on one rank ends the training of all", "[parallel][threads]") {
  for (const bool on_the_way_back : {false, true}) {
    std::atomic<int> told{0};
    CHECK_THROWS_WITH(
        run_on_threads(2,
                       [&](const Ranks& ranks) {
                         Context<Cpu> ctx;
                         ctx.threads(1);
                         Mixture<Cpu> model(ctx);
                         ctx.join(ranks);
                         Trainer<Cpu> trainer(ctx, model, AdamW<Cpu>(ctx.backend(), model), {});
                         for (int i = 0; i < 4; ++i) try {
                             trainer.step([&] {
                               const auto x = ctx.lift(model.kernel);
                               const bool bad = ranks.rank() == 1 && i == 2;
                               if (bad && !on_the_way_back) throw FormatError("a bad recording");
                               if (!bad) return sum(x * x);
                               return record(
                                   ctx.full(Shape<0>{}, 1.f),
                                   [](Context<Cpu>&, const Tensor<Cpu, 0>&) { throw FormatError("a bad recording"); },
                                   x);
                             });
                           } catch (const RankError&) {
                             ++told;
                             throw;
                           }
                       }),
        "a bad recording");
    CHECK(told == 1);
  }
}

TEST_CASE("models or seeds that differ do not train together, nor a trainer that was made too early",
          "[parallel][threads]") {
  const auto said = on_threads<std::string>(2, [](const Ranks& ranks) {
    Context<Cpu> ctx;
    Mixture<Cpu> model(ctx, 5 + ranks.rank());
    ctx.join(ranks);
    return message_of<RankError>([&] { Trainer<Cpu>(ctx, model, AdamW<Cpu>(ctx.backend(), model), {}); });
  });
  CHECK(said[0] == said[1]);
  CHECK(said[0].find("the model of rank 0 has 101 elements, that of rank 1 has 125") != std::string::npos);
  for (const std::string& m : on_threads<std::string>(2, [](const Ranks& ranks) {
         Context<Cpu> ctx(Cpu{}, static_cast<std::uint64_t>(ranks.rank()));
         Mixture<Cpu> model(ctx);
         ctx.join(ranks);
         return message_of<RankError>([&] { Trainer<Cpu>(ctx, model, AdamW<Cpu>(ctx.backend(), model), {}); });
       }))
    CHECK(m.find("rank 0 has the seed 0, rank 1 has 1") != std::string::npos);
  for (const std::string& m : on_threads<std::string>(2, [](const Ranks& ranks) {
         Context<Cpu> ctx;
         Mixture<Cpu> model(ctx);
         Trainer<Cpu> trainer(ctx, model, AdamW<Cpu>(ctx.backend(), model), {});
         ctx.join(ranks);
         return message_of<StateError>([&] { trainer.step([&] { return sum(ctx.lift(model.kernel)); }); });
       }))
    CHECK(m == "trainer: its context has joined 2 ranks since it was made; join them first");
}

TEST_CASE("n ranks train as one with n times the batch, and have the same bits", "[parallel][threads]") {
  struct Plan {
    const char* what;
    std::vector<long> batches;
    long accumulate;
  };
  for (const Plan& plan :
       {Plan{"even shares", {6, 6, 6, 6}, 1}, Plan{"uneven shares", {5, 7, 4, 5}, 1},
        Plan{"ranks without a share", {6, 2, 1, 4}, 1}, Plan{"two losses an update", {6, 5, 1, 6}, 2}}) {
    INFO(plan.what);
    const Trained one = train_together(Ranks(), plan.batches, plan.accumulate);
    for (const int count : {2, 3}) {
      INFO(count << " ranks");
      const auto all =
          on_threads<Trained>(count, [&](const Ranks& r) { return train_together(r, plan.batches, plan.accumulate); });
      for (const Trained& rank : all) {
        CHECK(rank.values == all[0].values);
        CHECK(rank.average == all[0].average);
        CHECK(rank.norms == all[0].norms);
      }
      CHECK(all[0].buckets > 2);
      CHECK(distance(all[0].values, one.values) < rounding_of_sums);
      CHECK(distance(all[0].average, one.average) < rounding_of_sums);
      CHECK(distance(all[0].losses, one.losses) < rounding_of_sums);
      CHECK(distance(all[0].norms, one.norms) < rounding_of_sums);
    }
    // And the training does something that could differ.
    CHECK(distance(train_together(Ranks(), {6}).values, one.values) > 100 * rounding_of_sums);
  }
}

TEST_CASE("gradients are told when nothing more is added to them, and not before", "[parallel][core]") {
  using Ref = Reference64;
  Context<Ref> ctx;
  const auto weight = [&](double v) { return make_param(ctx, Shape<1>{3}, Init::constant(v)); };
  const auto first = weight(1), often = weight(2), inside = weight(3), last = weight(4);
  ctx.train();
  const auto x = input(ctx, Shape<1>{3}, std::vector{0.5, -1.0, 2.0});
  const auto a = x * ctx.lift(first);
  // `often` and `inside` are used under recomputation before they are used openly.
  const auto again = [&](const Var<Ref, 1>& v) { return v * ctx.lift(often) * ctx.lift(inside); };
  const auto b = recompute(a, again);
  const auto c = b * ctx.lift(often) + b * ctx.lift(inside);
  const auto loss = sum(c * ctx.lift(last) * ctx.lift(last));
  std::vector<const void*> order;
  std::vector<std::vector<double>> told;
  Gradients<Ref> gradients;
  ctx.backward(loss, gradients, [&](const void* p, const double* gradient) {
    order.push_back(p);
    told.emplace_back(gradient, gradient + 3);
  });
  const auto key = [](const Param<Ref, 1>& p) -> const void* { return p.tensor().data(); };
  REQUIRE(order.size() == 4);
  CHECK(order[0] == key(last));
  CHECK(order[3] == key(first));
  for (const auto& p : {first, often, inside, last}) {
    const auto at = static_cast<size_t>(std::find(order.begin(), order.end(), key(p)) - order.begin());
    CHECK(told[at] == to_vector(gradients[p]));
  }
}

TEST_CASE("a mean over ranks counts what each has, and nothing where a rank has nothing", "[parallel][threads]") {
  const auto said = on_threads<std::vector<double>>(3, [](const Ranks& ranks) {
    Context<Reference64> ctx;
    ctx.join(ranks);
    ctx.train();
    // Means 2, 5 and not a number, of 3, 1 and 0 things.
    const double own[] = {2, 5, std::nan("")}, count[] = {3, 1, 0};
    const auto x = ctx.variable(tensor_of<Reference64>(Shape<1>{1}, std::vector{own[ranks.rank()]}));
    const auto loss = mean_over_ranks(sum(x), count[ranks.rank()]);
    const double value = item(loss);
    const double slope = to_vector(ctx.backward(loss)[x])[0];
    const auto nothing = ctx.variable(tensor_of<Reference64>(Shape<1>{1}, std::vector{1.0}));
    const double zero = item(mean_over_ranks(sum(nothing), 0));
    ctx.infer();
    return std::vector{value, slope, zero, item(mean_over_ranks(sum(x), count[ranks.rank()]))};
  });
  CHECK(said[0] == std::vector{2.75, 0.75, 0.0, 2.0});
  CHECK(said[1] == std::vector{2.75, 0.25, 0.0, 5.0});  // in inference each has its own
  CHECK(said[2][1] == 0);
  CHECK_THROWS_AS(run_on_threads(2,
                                 [](const Ranks& ranks) {
                                   Context<Reference64> ctx;
                                   ctx.join(ranks);
                                   ctx.train();
                                   mean_over_ranks(ctx.constant(ctx.zeros(Shape<0>{})), -1);
                                 }),
                  ConfigError);
}

TEST_CASE("losses of statistics are those of the whole batch, with their gradients", "[parallel][threads]") {
  using Ref = Reference64;
  constexpr long rows = 11, dims = 6;
  const auto values_x = normal(Shape<2>{rows, dims}, 1).data, values_y = normal(Shape<2>{rows, dims}, 2).data;
  const auto check = [&](const char* what, const auto& loss_of) {
    INFO(what);
    /// Loss, then the gradients of the rows that this rank has, and of a weight that meets them.
    const auto run = [&](const Ranks& ranks) {
      Context<Ref> ctx(Ref{}, 3);
      ctx.join(ranks);
      ctx.train();
      // Shares of 5, 6 and 0 rows, or all.
      const long first = ranks.alone() ? 0 : ranks.rank() == 0 ? 0 : ranks.rank() == 1 ? 5 : rows;
      const long end = ranks.alone() ? rows : ranks.rank() == 0 ? 5 : rows;
      const auto part = [&](const std::vector<double>& all) {
        const auto rows_of_rank = tensor_of<Ref>(
            Shape<2>{end - first, dims}, std::vector<double>(all.begin() + first * dims, all.begin() + end * dims));
        return end > first ? ctx.variable(rows_of_rank) : ctx.constant(rows_of_rank);
      };
      const auto x = part(values_x), y = part(values_y);
      const auto weight = ctx.variable(tensor_of<Ref>(Shape<0>{}, std::vector{0.3}));
      const Var<Ref, 0> loss = loss_of(x, y, weight);
      std::vector<std::vector<double>> said{{item(loss)}, {}, {}, {}};
      if (!ctx.wants_gradient(loss)) return said;
      const auto gradients = ctx.backward(loss);
      if (end > first && gradients.has(x)) said[1] = to_vector(gradients[x]);
      if (end > first && gradients.has(y)) said[2] = to_vector(gradients[y]);
      if (gradients.has(weight)) said[3] = to_vector(gradients[weight]);
      return said;
    };
    const auto one = run(Ranks());
    const auto all = on_threads<std::vector<std::vector<double>>>(3, run);
    std::vector<std::vector<double>> joined(4);
    for (const auto& rank : all) {
      CHECK(rank[0] == all[0][0]);
      for (const size_t i : {size_t(1), size_t(2)}) joined[i].insert(joined[i].end(), rank[i].begin(), rank[i].end());
      if (rank[3].empty()) continue;
      joined[3].resize(1, 0.0);
      joined[3][0] += rank[3][0];  // parts of one gradient
    }
    CHECK(all[0][0][0] == Approx(one[0][0]).epsilon(1e-12));
    CHECK((!one[1].empty() || !one[3].empty()));
    for (size_t i = 1; i < joined.size(); ++i) {
      if (one[i].empty()) continue;
      CHECK(distance(joined[i], one[i]) < 1e-12);  // double precision, a few terms
    }
  };
  check("SIGReg",
        [](const auto& x, const auto&, const auto&) { return sigreg(x, random_slices(x.context(), dims, 100)); });
  check("VICReg", [](const auto& x, const auto& y, const auto&) { return vicreg_loss(x, y); });
  check("Barlow Twins", [](const auto& x, const auto& y, const auto&) { return barlow_loss(x, y); });
  check("diversity", [](const auto& x, const auto&, const auto&) {
    return diversity_loss(reshape(x, Shape<3>{x.extent(0), 2, dims / 2}));
  });
  check("NT-Xent", [](const auto& x, const auto& y, const auto&) { return ntxent_loss(x, y); });
  check("CLIP", [](const auto& x, const auto& y, const auto& weight) { return clip_loss(x, y, weight); });
  check("GE2E", [](const auto& x, const auto&, const auto& weight) {
    return ge2e_loss(reshape(x, Shape<3>{x.extent(0), 3, dims / 3}), weight);
  });
  check("CLUB", [](const auto& x, const auto& y, const auto&) {
    return club_bound(GaussianGuess<Ref>{x, 0.3 * (x - y)}, y);
  });
  check("sliced Wasserstein", [](const auto& x, const auto&, const auto&) {
    return sliced_wasserstein(x, random_slices(x.context(), dims, 5));
  });
  check("lookup-free codes", [](const auto& x, const auto&, const auto&) {
    const auto e = corner_entropies(x, {.inverse_temperature = 0.4});
    return reshape(slice(e, 0, 0, 1) - 0.7 * slice(e, 0, 1, 2), Shape<0>{});
  });
  check("VQ-WAE", [](const auto& x, const auto&, const auto& weight) {
    auto& ctx = x.context();
    const auto codebook = scale_by(weight, input(ctx, Shape<2>{4, dims}, normal(Shape<2>{4, dims}, 3).data));
    const auto weights = scale_by(weight, input(ctx, Shape<1>{4}, std::vector{1.0, -1.0, 0.5, 2.0}));
    return wasserstein_codes(x, codebook, weights, {.smoothing = 2, .iterations = 3});
  });
  const auto widths = on_threads<std::string>(2, [](const Ranks& ranks) {
    return message_of<ShapeError>([&] {
      Context<Ref> ctx;
      ctx.join(ranks);
      ctx.train();
      gather_over_ranks(ctx.constant(ctx.zeros(Shape<2>{4, 3 + ranks.rank()})));
    });
  });
  for (const std::string& m : widths) CHECK(m == "ranks: rank 0 has rows of 3 numbers, but rank 1 has rows of 4");
}

TEST_CASE("books are learned together from the whole batch", "[parallel][threads]") {
  constexpr long rows = 9, dims = 4;
  const auto values = normal(Shape<2>{rows, dims}, 4).data;
  /// Terms of the loss, then the gradients of all weights.
  const auto run = [&](const Ranks& ranks) {
    Context<Reference64> ctx(Reference64{}, 2);
    const MultiCodebookQuantizer<Reference64> model(ctx, {.dims = dims, .books = 2, .entries = 3});
    ctx.join(ranks);
    ctx.train();
    const long first = ranks.rank() == 0 ? 0 : 4, end = ranks.alone() || ranks.rank() == 1 ? rows : 4;
    const auto x = input(ctx, Shape<2>{end - first, dims},
                         std::vector<double>(values.begin() + first * dims, values.begin() + end * dims));
    const auto terms = model.losses(x, 2);
    const auto loss = terms.reconstruction + terms.log_probability + 0.5 * terms.logits_entropy;
    std::vector<std::vector<double>> said{
        {item(terms.reconstruction), item(terms.log_probability), item(terms.logits_entropy), terms.code_entropy}, {}};
    const auto gradients = ctx.backward(loss);
    for_each_param(model, [&](const std::string&, const auto& p) {
      const auto g = to_vector(gradients[p]);
      said[1].insert(said[1].end(), g.begin(), g.end());
    });
    return said;
  };
  const auto one = run(Ranks());
  const auto all = on_threads<std::vector<std::vector<double>>>(2, run);
  CHECK(all[0][0] == all[1][0]);
  CHECK(distance(all[0][0], one[0]) < 1e-13);  // sums of a few doubles in another order
  auto sum = all[0][1];
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += all[1][1][i];
  CHECK(distance(sum, one[1]) < 1e-12);
}

TEST_CASE("k-means over ranks is k-means of all points", "[parallel][threads]") {
  const auto values = normal(Shape<2>{40, 3}, 5).data;
  auto seeding = KmeansOptions::Seeding::rows;
  const auto run = [&](const Ranks& ranks) {
    Context<Reference64> ctx;
    ctx.join(ranks);
    ctx.train();
    const long first = ranks.alone() ? 0 : ranks.rank() == 0 ? 0 : 13;
    const long end = ranks.alone() || ranks.rank() > 0 ? 40 : 13;
    const auto points = tensor_of<Reference64>(
        Shape<2>{end - first, 3}, std::vector<double>(values.begin() + first * 3, values.begin() + end * 3));
    auto clusters = kmeans(ctx, points, 12, {.iterations = 6, .seeding = seeding});
    clusters.counts = ctx.zeros(Shape<1>{12});
    kmeans_minibatch(ctx, points, clusters);
    return to_vector(clusters.means);
  };
  for (const auto s : {KmeansOptions::Seeding::rows, KmeansOptions::Seeding::plus_plus}) {
    seeding = s;
    const auto one = run(Ranks()), all = on_threads<std::vector<double>>(2, run)[1];
    CHECK(distance(all, one) < 1e-13);  // sums of 40 doubles in another order
  }
}

TEST_CASE("a loss that is not finite on one rank is dropped by all, and training goes on", "[parallel][threads]") {
  struct Said {
    std::string reason;
    long dropped = 0;
    std::vector<double> values;
  };
  const auto all = on_threads<Said>(2, [](const Ranks& ranks) {
    Context<Cpu> ctx;
    ctx.threads(1);
    Mixture<Cpu> model(ctx);
    ctx.join(ranks);
    Trainer<Cpu> trainer(ctx, model, AdamW<Cpu>(ctx.backend(), model), {});
    Said said;
    for (int i = 0; i < 3; ++i) {
      const TrainStep done = trainer.step([&] {
        const auto x = ctx.lift(model.kernel);
        return (ranks.rank() == 1 && i == 1 ? std::nanf("") : 1.f) * sum(x * x);
      });
      if (done.skipped) said.reason = done.reason;
    }
    said.dropped = trainer.dropped();
    said.values = all_values(model);
    return said;
  });
  CHECK(all[0].dropped == 1);
  CHECK(all[1].dropped == 1);
  CHECK(all[0].reason.find("here, but not finite on another rank") != std::string::npos);
  CHECK(all[1].reason.find("loss nan") != std::string::npos);
  CHECK(all[0].values == all[1].values);
}

TEST_CASE("ranks resume from the checkpoint of the first, bit for bit, draws included", "[parallel][threads]") {
  const TemporaryFolder folder;
  // A model with dropout whose ranks draw different numbers, of different counts.
  const auto run = [&](const Ranks& ranks, int from, int until) {
    Context<Cpu> ctx(Cpu{}, 11);
    ctx.threads(1);
    Mixture<Cpu> model(ctx);
    ctx.join(ranks);
    Trainer<Cpu> trainer(ctx, model, AdamW<Cpu>(ctx.backend(), model), {});
    const auto state = [&](auto& archive) {
      archive("", model);
      archive("trainer", trainer);
    };
    const auto file = folder / "latest.safetensors";
    if (from > 0) load_checkpoint(file, state);
    for (int i = from; i < until; ++i) {
      trainer.step([&] {
        const long n = 24;
        const Draws draws = ctx.random().take(n * (1 + ranks.rank()));
        std::vector<float> noise;
        for (long k = 0; k < n; ++k) noise.push_back(draws.uniform(k));
        return sum(ctx.lift(model.kernel) * input(ctx, model.kernel.shape(), noise));
      });
      if (i + 1 == 2 && ranks.first()) save_checkpoint(file, state);
      ranks.barrier();
    }
    return all_values(model);
  };
  for (const int count : {1, 2}) {
    const auto whole = on_threads<std::vector<double>>(count, [&](const Ranks& r) { return run(r, 0, 5); });
    const auto resumed = on_threads<std::vector<double>>(count, [&](const Ranks& r) { return run(r, 2, 5); });
    CHECK(whole == resumed);
    CHECK(whole[0] == whole.back());
  }
}
