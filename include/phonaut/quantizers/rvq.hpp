#pragma once
// Residual vector quantization: each codebook quantizes what the ones before left over. N. Zeghidour et al.,
// "SoundStream", 2021; A. Défossez et al., "High Fidelity Neural Audio Compression" (EnCodec), 2022.
#include <vector>

#include "phonaut/quantizers/level_dropout.hpp"
#include "phonaut/quantizers/vq.hpp"

namespace phonaut {

template <class B>
struct ResidualQuantizer {
  struct Config {
    long dims = 0;
    long levels = 8;
    CodebookOptions codebook = {};  ///< of every level
    bool mean_of_levels = true;     ///< losses are averaged over levels (EnCodec, Mimi); else added (DAC)
    /// Published EnCodec training subtracts the straight-through value, so that only the first level's commitment has a
    /// gradient. False is right: q is a constant in the residual, and every level has one.
    bool residual_through_estimator = false;
    LevelDropout dropout = LevelDropout::none;
    double dropout_probability = 0.5;  ///< share of utterances that LevelDropout::per_item cuts
    std::uint64_t purpose = 0x7EC0;    ///< tells the draws of these codebooks from those of other quantizers
  } config;
  std::vector<QuantizerLevel<B>> levels;

  ResidualQuantizer() = default;
  ResidualQuantizer(Context<B>& ctx, Config config_) : config(std::move(config_)) {
    if (config.levels < 1) throw ConfigError(concat("rvq: needs at least one level, got ", config.levels));
    for (long i = 0; i < config.levels; ++i)
      levels.emplace_back(ctx, config.dims, config.codebook, config.purpose + 256 * static_cast<std::uint64_t>(i + 1));
  }

  /// Quantizes x (N, T, dims): out = Σ q_i, residual r_{i+1} = r_i - q_i, loss_i = mean (r_i - sg q_i)². In training
  /// the codebooks follow the data, so call it once for each batch (and not within `recompute`). With k-means
  /// initialisation one level is set in each step: the residuals of a level that was just fitted to this batch are no
  /// example of what will follow. Levels that still wait give no code. Throws ShapeError for other channels.
  Quantized<B> operator()(const Sequence<B>& x) const {
    auto& ctx = x.context();
    return run(x, ctx.training() ? draw_depths(ctx, x.batch()) : std::vector<long>());
  }
  /// The same with a given number of levels for each utterance.
  Quantized<B> operator()(const Sequence<B>& x, const std::vector<long>& depths) const {
    detail::check_depths("rvq", depths, x.batch());
    return run(x, depths);
  }

  /// Codes (N, T, depth) of the first `depth` levels (0: all); nothing is recorded and nothing changes.
  Codes<B> encode(const Sequence<B>& x, long depth = 0) const {
    check(x);
    const long used = detail::levels_used("rvq", depth, config.levels);
    auto& ctx = x.context();
    const detail::RowsOf<B> frames(x.with(ctx.detach(x.frames)));
    const Codes<B> codes = frames.empty_codes(used);
    Tensor<B, 2> residual = frames.rows.tensor(), rest;
    for (long i = 0; i < used; ++i) {
      const auto& level = levels[static_cast<size_t>(i)];
      const auto code = level.encode(ctx.constant(residual));
      frames.put(code, i, codes);
      if (i + 1 == used) break;
      if (!rest) rest = ctx.empty(residual.shape());  // x itself stays as it is
      kernel::subtract_entries(ctx.backend(), residual.in(), level.entries().in(),
                               static_cast<const std::int32_t*>(code.data()), rest.out());
      residual = rest;
    }
    return codes;
  }
  /// Frames (N, T, dims) from codes (N, T, any number of levels): the sum of their entries; `no_code` adds nothing.
  /// Throws ShapeError for codes out of range.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const {
    detail::check_codes("rvq", codes, config.levels, config.codebook.entries);
    return detail::sum_of_entries(ctx, codes, levels);
  }
  /// Bits for each frame with `depth` levels (0: all); times the frame rate, bits per second.
  double bits(long depth = 0) const {
    return static_cast<double>(depth > 0 ? depth : config.levels) *
           std::log2(static_cast<double>(config.codebook.entries));
  }
  /// Levels for each utterance of a step of training, by the dropout.
  std::vector<long> draw_depths(Context<B>& ctx, long batch) const {
    return phonaut::draw_depths(ctx, config.dropout, config.dropout_probability, config.levels, batch);
  }

  static void visit(auto& self, auto&& f) { f("levels", self.levels); }

 private:
  void check(const Sequence<B>& x) const { check_channels("rvq", x.frames.shape(), config.dims, "the codebooks"); }

  /// The rows that a level still works on: those of utterances that are deep enough.
  struct Active {
    Var<B, 2> residual;            ///< (rows, dims)
    FrameRows<B> local, global;    ///< into the real frames and into all N · T; empty where nothing was left out
    std::vector<std::int32_t> at;  ///< `local` on the host, kept where depths differ
  };

  /// Depths empty: all levels. An utterance is done after as many levels as its depth: deeper levels give it no code,
  /// add nothing to its value and have no loss of it.
  Quantized<B> run(const Sequence<B>& x, const std::vector<long>& depths) const {
    using S = typename B::Scalar;
    check(x);
    auto& ctx = x.context();
    const detail::RowsOf<B> frames(x);
    Quantized<B> out;
    out.codes = frames.empty_codes(config.levels);
    Active active{frames.rows, {}, frames.index, {}};
    const Tensor<B, 2> total = ctx.zeros(frames.rows.shape());
    long used = 0;
    for (const QuantizerLevel<B>& level : levels) {
      const bool fresh = !level.ready(ctx);
      if (fresh && !ctx.training()) break;
      if (!depths.empty()) narrow(frames, depths, used + 1, active);
      if (used > 0 && detail::rows_of_ranks(ctx, active.residual.extent(0)).all == 0) break;
      const auto r = level(active.residual);
      kernel::put_level(ctx.backend(), static_cast<const std::int32_t*>(r.code.data()),
                        active.global ? static_cast<const std::int32_t*>(active.global.data()) : nullptr, r.code.size(),
                        used, as_rows(out.codes.out()));
      if (active.local) kernel::add_rows(ctx.backend(), r.q.in(), active.local.in(), total.out());
      else kernel::accumulate(ctx.backend(), detail::flat(r.q), total.data());
      detail::add_share(out.loss, r.loss);
      detail::add_share(out.commitment, r.commitment);
      detail::add_share(out.codebook, r.codebook);
      ++used;
      if (fresh) break;
      active.residual = active.residual - ctx.constant(r.q);
      if (config.residual_through_estimator) active.residual = ctx.detach(active.residual);
    }
    if (config.mean_of_levels && used > 1)
      for (Var<B, 0>* term : {&out.loss, &out.commitment, &out.codebook})
        if (*term) *term = S(1.0 / static_cast<double>(used)) * *term;
    out.quantized = frames.back(levels.front().estimate(frames.rows, total));
    return out;
  }

  /// Leaves out the rows of utterances with fewer than `depth` levels.
  static void narrow(const detail::RowsOf<B>& frames, const std::vector<long>& depths, long depth, Active& active) {
    const Sequence<B>& x = frames.batch;
    auto& ctx = x.context();
    std::vector<std::int32_t> utterance, place;  // of each real frame
    for (long n = 0; n < x.batch(); ++n)
      for (long t = 0; t < x.length(n); ++t) {
        utterance.push_back(static_cast<std::int32_t>(n));
        place.push_back(static_cast<std::int32_t>(n * x.time() + t));
      }
    if (active.at.empty())
      for (size_t i = 0; i < utterance.size(); ++i) active.at.push_back(static_cast<std::int32_t>(i));
    std::vector<std::int32_t> keep, local, global;
    for (size_t i = 0; i < active.at.size(); ++i) {
      const auto row = static_cast<size_t>(active.at[i]);
      if (depths[static_cast<size_t>(utterance[row])] < depth) continue;
      keep.push_back(static_cast<std::int32_t>(i));
      local.push_back(active.at[i]);
      global.push_back(place[row]);
    }
    if (keep.size() == active.at.size()) return;
    const auto index = [&](const std::vector<std::int32_t>& rows) {
      FrameRows<B> t = ctx.template empty_of<std::int32_t, 1>({static_cast<long>(rows.size())});
      detail::fill_from_host(ctx, t, [&](std::int32_t* to) { std::copy(rows.begin(), rows.end(), to); });
      return t;
    };
    active.residual = take_rows(active.residual, index(keep));
    active.local = index(local);
    active.global = index(global);
    active.at = local;
  }
};

}  // namespace phonaut
