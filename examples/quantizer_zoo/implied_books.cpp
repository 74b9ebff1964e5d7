// Codebooks that nobody keeps: products of scalars, signs, choices of a linear map, random directions.
#include "coder.hpp"

using namespace phonaut;

namespace {

/// Of the entropies of signs. At the layers' own weight, 0.1, they outweigh a mean squared error that is below 1: BSQ
/// of 24 bits then loses more than one of 16.
constexpr double kEntropyWeight = 0.01;

template <class Q>
std::shared_ptr<const Between<Q>> fitted(Context<B>& ctx, const Latents& latents, const Budget& budget, Q q, long in,
                                         long out) {
  auto m = std::make_shared<const Between<Q>>(Between<Q>{Map(ctx, {latents.dim(), in, budget.hidden}),
                                                         Map(ctx, {out, latents.dim(), budget.hidden}), std::move(q)});
  learn_between(ctx, *m, latents, budget);
  return m;
}

Specimen fsq(const std::vector<long>& levels, long groups) {
  std::string shape;
  long entries = 1;
  for (const long n : levels) shape += (shape.empty() ? "" : "·") + std::to_string(n), entries *= n;
  if (groups > 1) shape = std::to_string(groups) + " x " + shape;
  return {"FSQ", "FSQ " + shape, "maps by gradient",
          [=](Context<B>& ctx, const Latents& latents, const Budget& budget) {
            using Q = FiniteScalarQuantizer<B>;
            const Q q(ctx, {.levels = levels, .groups = groups});
            Coder coder = coder_between(fitted(ctx, latents, budget, q, q.channels(), q.channels()),
                                        std::vector<long>(static_cast<size_t>(groups), entries),
                                        one_setting(shape, static_cast<size_t>(groups)));
            coder.digits = levels;
            return coder;
          }};
}

Specimen lfq(long bits) {
  return {"LFQ", "LFQ " + std::to_string(bits) + " bits", "maps by gradient, entropies",
          [bits](Context<B>& ctx, const Latents& latents, const Budget& full) {
            using Q = LookupFreeQuantizer<B>;
            // As published, entropies are sums over all 2^bits codes for every frame: dear, so only of the fewest here.
            const bool all_codes = bits <= 8;
            const auto entropy = all_codes ? Q::Config::Entropy::all_codes : Q::Config::Entropy::by_bit;
            const Budget budget = all_codes ? in_small_batches(full) : full;
            Coder coder = coder_between(
                fitted(ctx, latents, budget,
                       Q(ctx, {.bits = bits, .entropy_weight = kEntropyWeight, .entropy = entropy}), bits, bits),
                {1L << bits}, one_setting(std::to_string(bits) + " bits", 1));
            coder.digits = std::vector<long>(static_cast<size_t>(bits), 2);
            return coder;
          }};
}

Specimen bsq(long bits) {
  return {"BSQ", "BSQ " + std::to_string(bits) + " bits", "maps by gradient, entropies",
          [bits](Context<B>& ctx, const Latents& latents, const Budget& budget) {
            using Q = BinarySphericalQuantizer<B>;
            Coder coder = coder_between(
                fitted(ctx, latents, budget, Q(ctx, {.bits = bits, .entropy_weight = kEntropyWeight}), bits, bits),
                {1L << bits}, one_setting(std::to_string(bits) + " bits", 1));
            coder.digits = std::vector<long>(static_cast<size_t>(bits), 2);
            return coder;
          }};
}

Specimen gumbel(long groups, long entries) {
  const std::string shape = std::to_string(groups) + " x " + std::to_string(entries);
  return {
      "Gumbel", "Gumbel " + shape, "maps by gradient, noise",
      [=](Context<B>& ctx, const Latents& latents, const Budget& full) {
        using Q = GumbelQuantizer<B>;
        const long dims = 16 * groups;
        const Budget budget = in_small_batches(full);  // every entry draws noise for every frame
        // The temperature gets to its least when three quarters of the steps are done.
        const GumbelTemperature cooling{
            .start = 2,
            .least = 0.5,
            .decay = std::pow(0.25, 1 / std::max(1.0, 0.75 * static_cast<double>(budget.learn)))};
        Q q(ctx,
            {.channels = latents.dim(), .dims = dims, .groups = groups, .entries = entries, .temperature = cooling});
        return coder_between(fitted(ctx, latents, budget, std::move(q), latents.dim(), dims),
                             std::vector<long>(static_cast<size_t>(groups), entries),
                             one_setting(shape, static_cast<size_t>(groups)));
      }};
}

/// Labels: its directions are points of a random space, and no way leads back.
Specimen random_projection(long entries) {
  return {"random projection", "random projection " + std::to_string(entries), "none: labels",
          [entries](Context<B>& ctx, const Latents& latents, const Budget&) {
            using Q = RandomProjectionQuantizer<B>;
            const auto q = std::make_shared<const Q>(
                ctx, Q::Config{.features = latents.dim(), .stack = 1, .stride = 1, .entries = entries});
            Coder coder = coder_of(q, {entries}, one_setting(std::to_string(entries), 1));
            coder.decode = nullptr;
            return coder;
          }};
}

}  // namespace

std::vector<Specimen> implied_books() {
  std::vector<Specimen> all;
  for (const auto& levels : {std::vector<long>{8, 6, 5}, {8, 5, 5, 5}, {8, 8, 8, 6, 5}}) all.push_back(fsq(levels, 1));
  for (const long groups : {2, 4}) all.push_back(fsq({8, 5, 5, 5}, groups));
  for (const long bits : {8, 10, 16, 24}) all.push_back(lfq(bits));
  for (const long bits : {8, 10, 16, 24}) all.push_back(bsq(bits));
  all.push_back(gumbel(2, 32));
  all.push_back(gumbel(2, 320));
  all.push_back(random_projection(1024));
  return all;
}
