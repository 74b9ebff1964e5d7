// One codebook: by running averages, by gradients, between maps, by k-means; and codes of whole utterances.
#include "coder.hpp"

using namespace phonaut;

namespace {

using Vq = VectorQuantizer<B>;

constexpr long kGlobalGroups = 4, kGlobalEntries = 32;

/// What a running codebook is started and kept alive with.
CodebookOptions running(long entries) {
  return {
      .entries = entries, .rule = {.revival = EmaRule::Revival::before, .check_every = 10}, .kmeans_iterations = 10};
}

Specimen vq(long entries) {
  return {"VQ", "VQ " + std::to_string(entries), "running averages",
          [entries](Context<B>& ctx, const Latents& latents, const Budget& budget) {
            const auto q = std::make_shared<const Vq>(ctx, Vq::Config{latents.dim(), running(entries)});
            follow(ctx, *q, latents, budget);
            return coder_of(q, {entries}, one_setting(std::to_string(entries), 1));
          }};
}

/// A codebook that starts with frames, so that gradients need not carry it there.
void start_with_frames(Context<B>& ctx, Vq& q, const Latents& latents) {
  const auto points = rows_of(ctx, latents.train);
  assign(ctx.backend(), q.level.table.tensor(),
         values_of(ctx, kmeans_seeds(ctx, points, q.config.codebook.entries, KmeansOptions::Seeding::rows,
                                     ctx.random().take(q.config.codebook.entries))));
}

Specimen vq_by_gradient(long entries) {
  return {"VQ by gradient", "VQ by gradient " + std::to_string(entries), "gradient of the codebook",
          [entries](Context<B>& ctx, const Latents& latents, const Budget& budget) {
            const auto q = std::make_shared<Vq>(ctx, Vq::Config{latents.dim(), {.entries = entries, .trained = true}});
            start_with_frames(ctx, *q, latents);
            learn(ctx, *q, latents, budget, [&](const Sequence<B>& x) { return (*q)(x).loss; });
            return coder_of<Vq>(q, {entries}, one_setting(std::to_string(entries), 1));
          }};
}

Specimen vq_wae(long entries) {
  return {"VQ-WAE", "VQ-WAE " + std::to_string(entries), "gradient, Wasserstein distance",
          [entries](Context<B>& ctx, const Latents& latents, const Budget& full) {
            const auto q =
                std::make_shared<const Vq>(ctx, Vq::Config{latents.dim(), {.entries = entries, .trained = true}});
            // Started as the layer starts it: the distance pulls entries to the data that nobody chooses.
            Budget budget = in_small_batches(full);
            budget.learn = std::max(1L, full.learn / 3);
            budget.rate = 10 * full.rate;  // entries have a long way to go, step by step
            learn(ctx, *q, latents, budget, [&](const Sequence<B>& x) {
              return (*q)(x).loss +
                     0.1f * wasserstein_codes(valid_frames(x), q->level.table, {}, {.smoothing = 1, .iterations = 20});
            });
            return coder_of(q, {entries}, one_setting(std::to_string(entries), 1));
          }};
}

struct Kind {
  const char* name;
  Estimator estimator;
  bool cosine;
};

/// A codebook of few dimensions between maps: what estimators of gradients are for.
Specimen vq_between(const Kind& kind, long entries) {
  constexpr long dims = 8;
  const std::string name = kind.name;
  return {name, name + " " + std::to_string(entries), "maps by gradient, running averages",
          [kind, entries](Context<B>& ctx, const Latents& latents, const Budget& budget) {
            CodebookOptions options = running(entries);
            options.estimator = kind.estimator;
            options.cosine = kind.cosine;
            const auto m = std::make_shared<const Between<Vq>>(
                Between<Vq>{Map(ctx, {latents.dim(), dims, budget.hidden}),
                            Map(ctx, {dims, latents.dim(), budget.hidden}), Vq(ctx, {dims, options})});
            learn_between(ctx, *m, latents, budget);
            return coder_between(m, {entries}, one_setting(std::to_string(entries), 1));
          }};
}

/// The means of clusters as a codebook.
std::shared_ptr<const Vq> with_means(Context<B>& ctx, const Latents& latents, const Tensor<B, 2>& means) {
  const auto q = std::make_shared<Vq>(ctx, Vq::Config{latents.dim(), {.entries = means.extent(0)}});
  assign(ctx.backend(), q->level.book.embedding.tensor(), values_of(ctx, means));
  return q;
}

Specimen k_means(long entries) {
  return {"k-means", "k-means " + std::to_string(entries), "Lloyd, all frames",
          [entries](Context<B>& ctx, const Latents& latents, const Budget&) {
            const auto clusters = kmeans(ctx, rows_of(ctx, latents.train), entries, {.iterations = 20});
            return coder_of(with_means(ctx, latents, clusters.means), {entries},
                            one_setting(std::to_string(entries), 1));
          }};
}

Specimen k_means_in_batches(long entries) {
  return {"k-means in batches", "k-means in batches " + std::to_string(entries), "mini-batches",
          [entries](Context<B>& ctx, const Latents& latents, const Budget& budget) {
            Pieces pieces = pieces_of(latents, budget);
            Clusters<B> clusters{kmeans_seeds(ctx, valid_frames(pieces.next(ctx)).tensor(), entries,
                                              KmeansOptions::Seeding::plus_plus, ctx.random().take(4 * entries)),
                                 ctx.zeros(Shape<1>{entries}),
                                 {}};
            for (long step = 0; step < budget.follow; ++step)
              kmeans_minibatch(ctx, valid_frames(pieces.next(ctx)).tensor(), clusters);
            return coder_of(with_means(ctx, latents, clusters.means), {entries},
                            one_setting(std::to_string(entries), 1));
          }};
}

Specimen online_clusters(long entries) {
  return {"DinoSR clusters", "DinoSR clusters " + std::to_string(entries), "running averages, only those hit",
          [entries](Context<B>& ctx, const Latents& latents, const Budget& budget) {
            using Online = OnlineClusters<B>;
            const auto q = std::make_shared<const Online>(
                ctx, Online::Config{.dims = latents.dim(), .layers = 1, .entries = entries});
            follow(
                ctx, [&](const Sequence<B>& x) { return (*q)(std::vector{x}); }, latents, budget);
            return Coder{
                .entries = {entries},
                .whole_entries = {},
                .digits = {},
                .encode =
                    [q](const Sequence<B>& x) {
                      return Coded{q->encode(std::vector{x}), {}};
                    },
                .decode = [q](const Sequence<B>& x, const Coded& c) { return q->decode(x.context(), c.frames, 0); },
                .settings = one_setting(std::to_string(entries), 1)};
          }};
}

/// Codes of the whole utterance, and a codebook for what is left of its frames.
Specimen with_global_codes(long entries) {
  return {"VQ + global codes", "VQ " + std::to_string(entries) + " + global 4 x 32", "running averages",
          [entries](Context<B>& ctx, const Latents& latents, const Budget& budget) {
            using Global = GlobalQuantizer<B>;
            struct Both {
              Global whole;
              Vq frames;
              Sequence<B> left(const Sequence<B>& x, const Codes<B>& codes) const {
                return add_to_frames(x, -whole.decode(x.context(), codes));
              }
            };
            // A batch has few utterances: averages over more of them.
            CodebookOptions slow = running(kGlobalEntries);
            slow.rule.decay = 0.98;
            const auto q = std::make_shared<const Both>(
                Both{Global(ctx, {latents.dim(), kGlobalGroups, slow}), Vq(ctx, {latents.dim(), running(entries)})});
            follow(
                ctx,
                [&](const Sequence<B>& x) {
                  q->whole(x);
                  q->frames(q->left(x, q->whole.encode(x)));
                },
                latents, budget);
            return Coder{.entries = {entries},
                         .whole_entries = std::vector<long>(kGlobalGroups, kGlobalEntries),
                         .digits = {},
                         .encode =
                             [q](const Sequence<B>& x) {
                               const Codes<B> whole = q->whole.encode(x);
                               return Coded{q->frames.encode(q->left(x, whole)), whole};
                             },
                         .decode =
                             [q](const Sequence<B>& x, const Coded& c) {
                               auto& context = x.context();
                               return add_to_frames(x.with(q->frames.decode(context, c.frames)),
                                                    q->whole.decode(context, c.whole))
                                   .frames;
                             },
                         .settings = one_setting(std::to_string(entries) + " + global", 1)};
          }};
}

}  // namespace

std::vector<Specimen> single_books() {
  std::vector<Specimen> all;
  for (const long entries : {64, 256, 1024}) all.push_back(vq(entries));
  for (const long entries : {64, 256, 1024}) all.push_back(k_means(entries));
  all.push_back(k_means_in_batches(256));
  all.push_back(vq_by_gradient(256));
  all.push_back(vq_wae(256));
  all.push_back(online_clusters(256));
  all.push_back(with_global_codes(256));
  for (const Kind& kind : {Kind{"VQ in 8-d, straight-through", Estimator::straight_through, false},
                           Kind{"VQ in 8-d, rotation trick", Estimator::rotation, false},
                           Kind{"VQ in 8-d, cosine", Estimator::straight_through, true}})
    for (const long entries : {256, 1024}) all.push_back(vq_between(kind, entries));
  return all;
}
