#pragma once
// What all quantizers of the zoo have in common once they are trained, and how they are trained.
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <phonaut/phonaut.hpp>
#include <string>
#include <vector>

#include "latents.hpp"

using phonaut::Codes;
using phonaut::Context;
using phonaut::Sequence;
using phonaut::Var;

/// Codes of a batch.
struct Coded {
  Codes<B> frames;  ///< (N, T, books)
  Codes<B> whole;   ///< (N, 1, books), of utterances as wholes; empty where there are none
};

/// How many of its books a quantizer is measured with.
struct Setting {
  std::string name;
  std::vector<long> books;  ///< of frames; the others are left out, and add nothing
};

/// A trained quantizer.
struct Coder {
  std::vector<long> entries;        ///< of each book of frames
  std::vector<long> whole_entries;  ///< of each book of utterances
  /// Sizes of the digits that a code of a book is made of, the first the least significant, where it is made of any:
  /// an entropy coder then writes those of books with more entries than it could have a table for.
  std::vector<long> digits;
  std::function<Coded(const Sequence<B>&)> encode;
  std::function<Var<B, 3>(const Sequence<B>& of, const Coded&)> decode;  ///< none for labels, which nothing undoes
  std::vector<Setting> settings;                                         ///< at least one
};

/// How long quantizers are trained.
struct Budget {
  long follow = 400;   ///< steps where codebooks follow running averages
  long learn = 2000;   ///< steps where gradients are used
  long pieces = 32;    ///< of a batch
  long frames = 64;    ///< of a piece
  long hidden = 128;   ///< channels inside the maps around a quantizer
  double rate = 3e-3;  ///< greatest learning rate
  std::uint64_t seed = 1;
};

/// The same with a quarter of the pieces in a batch: for what looks at every pair of frame and entry, one by one.
inline Budget in_small_batches(Budget budget) {
  budget.pieces = std::max(1L, budget.pieces / 4);
  return budget;
}

/// A quantizer of the zoo.
struct Specimen {
  std::string family;  ///< one line in the picture
  std::string name;
  std::string training;  ///< in words
  std::function<Coder(Context<B>&, const Latents&, const Budget&)> fit;
};

/// VQ and its kin: one codebook, k-means, codes of utterances.
std::vector<Specimen> single_books();
/// Several codebooks whose entries are added.
std::vector<Specimen> summed_books();
/// Scalars, signs, Gumbel noise, random projections.
std::vector<Specimen> implied_books();

// ---- training ----

/// y = W x + b + V gelu(U x + c): what stands before and behind quantizers that cannot choose their own space.
struct Map {
  struct Config {
    long in = 0, out = 0, hidden = 0;
  };
  phonaut::Linear<B> straight, up, down;

  Map(Context<B>& ctx, const Config& c)
      : straight(ctx, {.in = c.in, .out = c.out}),
        up(ctx, {.in = c.in, .out = c.hidden}),
        down(ctx, {.in = c.hidden, .out = c.out, .bias = false}) {}
  Var<B, 3> operator()(const Var<B, 3>& x) const { return straight(x) + down(phonaut::gelu(up(x))); }
  Sequence<B> operator()(const Sequence<B>& x) const { return x.with((*this)(x.frames)); }
  static void visit(auto& self, auto&& f) {
    f("straight", self.straight);
    f("up", self.up);
    f("down", self.down);
  }
};

/// A quantizer between two maps.
template <class Q>
struct Between {
  Map in, out;
  Q quantizer;
  static void visit(auto& self, auto&& f) {
    f("in", self.in);
    f("out", self.out);
    f("quantizer", self.quantizer);
  }
};

inline Pieces pieces_of(const Latents& latents, const Budget& budget) {
  return {latents.train, budget.pieces, budget.frames, budget.seed};
}

/// Shows a quantizer batches; its codebooks follow them.
template <class Q>
void follow(Context<B>& ctx, const Q& quantizer, const Latents& latents, const Budget& budget) {
  Pieces pieces = pieces_of(latents, budget);
  ctx.train();
  for (long step = 0; step < budget.follow; ++step) {
    ctx.set_step(step);
    quantizer(pieces.next(ctx));
    ctx.clear();
  }
  ctx.infer();
}

/// AdamW down loss(batch).
template <class Model, class Loss>
void learn(Context<B>& ctx, const Model& model, const Latents& latents, const Budget& budget, const Loss& loss) {
  Pieces pieces = pieces_of(latents, budget);
  phonaut::Trainer trainer(ctx, model, phonaut::AdamW<B>(ctx.backend(), model, {.weight_decay = 0}),
                           {.rate = phonaut::WarmupCosine{.peak = budget.rate,
                                                          .floor = 0.02 * budget.rate,
                                                          .warmup = 0.05 * static_cast<double>(budget.learn),
                                                          .total = static_cast<double>(budget.learn)},
                            .clip = 5});
  while (trainer.step_count() < budget.learn) {
    const Sequence<B> x = pieces.next(ctx);
    trainer.step([&] { return loss(x); });
  }
  ctx.infer();
}

/// Trains a quantizer between maps, with the mean squared error of what comes out and the quantizer's own loss.
template <class Q>
void learn_between(Context<B>& ctx, const Between<Q>& model, const Latents& latents, const Budget& budget) {
  learn(ctx, model, latents, budget, [&](const Sequence<B>& x) {
    const auto y = model.quantizer(model.in(x));
    const Var<B, 0> distance = mse_loss(x, model.out(y.quantized));
    return y.loss ? distance + y.loss : distance;
  });
}

// ---- coders ----

/// All books in one setting.
inline std::vector<Setting> one_setting(const std::string& name, size_t books) {
  Setting setting{name, {}};
  for (size_t i = 0; i < books; ++i) setting.books.push_back(static_cast<long>(i));
  return {setting};
}
/// The first `depth` books of all, for each depth: "4 x 256".
inline std::vector<Setting> by_depth(const std::vector<long>& depths, long entries) {
  std::vector<Setting> settings;
  settings.reserve(depths.size());
  for (const long depth : depths)
    settings.push_back(
        one_setting(std::to_string(depth) + " x " + std::to_string(entries), static_cast<size_t>(depth))[0]);
  return settings;
}

/// The coder of a quantizer that works on latents as they are.
template <class Q>
Coder coder_of(std::shared_ptr<const Q> q, const std::vector<long>& entries, const std::vector<Setting>& settings) {
  return {.entries = entries,
          .whole_entries = {},
          .digits = {},
          .encode =
              [q](const Sequence<B>& x) {
                return Coded{q->encode(x), {}};
              },
          .decode = [q](const Sequence<B>& x, const Coded& c) { return q->decode(x.context(), c.frames); },
          .settings = settings};
}
/// The coder of a quantizer between maps.
template <class Q>
Coder coder_between(std::shared_ptr<const Between<Q>> m, const std::vector<long>& entries,
                    const std::vector<Setting>& settings) {
  return {.entries = entries,
          .whole_entries = {},
          .digits = {},
          .encode =
              [m](const Sequence<B>& x) {
                return Coded{m->quantizer.encode(m->in(x)), {}};
              },
          .decode = [m](const Sequence<B>& x,
                        const Coded& c) { return m->out(m->quantizer.decode(x.context(), c.frames)); },
          .settings = settings};
}
