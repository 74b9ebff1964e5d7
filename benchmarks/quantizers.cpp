// Quantizers at the sizes of codecs and of units, to be timed beside the same search in other libraries. See works.hpp.
#include "works.hpp"

using namespace phonaut;
using namespace phonaut::works;

namespace {

Sequence<B> frames_of(Context<B>& ctx, const Tensor<B, 2>& rows) {
  return {reshape(ctx.constant(rows), Shape<3>{1, rows.extent(0), rows.extent(1)}), {}, 75};
}

/// The residual quantizer of EnCodec: 8 codebooks of 1024 entries.
Work residual(Context<B>& ctx, long frames, long dims, long entries) {
  constexpr long levels = 8;
  Inputs in{ctx};
  ResidualQuantizer<B> rvq(ctx, {.dims = dims, .levels = levels, .codebook = {.entries = entries}});
  for (long i = 0; i < levels; ++i) {
    const Tensor<B, 2> table = in.normal(Shape<2>{entries, dims}, static_cast<float>(std::pow(0.7, i)));
    kernel::pack(ctx.backend(), table.in(), rvq.levels[static_cast<size_t>(i)].book.embedding.tensor().data());
  }
  const Sequence<B> x = frames_of(ctx, in.normal(Shape<2>{frames, dims}));
  const std::string name = concat("rvq", dims, "/", frames);
  return {.name = name,
          .title = concat("residual VQ, 8 x ", entries, " x ", dims, ", ", frames, " frames"),
          .call = [=] { rvq.encode(x); },
          .prove =
              [=](Proof& proof) {
                proof.add(name + "/x", x.frames);
                for (long i = 0; i < levels; ++i)
                  proof.add(concat(name, "/table.", i), rvq.levels[static_cast<size_t>(i)].entries());
                proof.add(name + "/codes", rvq.encode(x));
              },
          .flops = 2.0 * static_cast<double>(levels * frames * entries * dims)};
}

/// One level's search in the Descript audio codec: the entry of the nearest direction, of 1024 in 8 dimensions.
Work direction(Context<B>& ctx, long frames, long entries) {
  constexpr long dims = 8;
  Inputs in{ctx};
  FactorisedLevel<B> level(ctx, 16, entries, dims);
  const Var<B, 2> x = ctx.constant(in.normal(Shape<2>{frames, dims}));
  const std::string name = concat("direction/", frames);
  return {.name = name,
          .title = concat("search by cosine (DAC), ", entries, " x ", dims, ", ", frames, " frames"),
          .call = [=] { level.search(x); },
          .prove =
              [=](Proof& proof) {
                proof.add(name + "/x", x);
                proof.add(name + "/table", level.codebook.weight.tensor());
                proof.add(name + "/codes", level.search(x));
              },
          .flops = 2.0 * static_cast<double>(frames * entries * dims)};
}

/// Which cluster of k-means each frame of a layer of HuBERT belongs to.
Work clusters(Context<B>& ctx, long frames, long entries, long dims) {
  Inputs in{ctx};
  const Tensor<B, 2> x = in.normal(Shape<2>{frames, dims}), means = in.normal(Shape<2>{entries, dims}, 0.5f);
  const std::string name = concat("kmeans/", entries);
  return {.name = name,
          .title = concat("k-means assignment, ", entries, " x ", dims, ", ", frames, " frames"),
          .call = [=, &ctx] { nearest_code(ctx, x, means); },
          .prove =
              [=, &ctx](Proof& proof) {
                proof.add(name + "/x", x);
                proof.add(name + "/table", means);
                proof.add(name + "/codes", nearest_code(ctx, x, means));
              },
          .flops = 2.0 * static_cast<double>(frames * entries * dims)};
}

/// Finite scalar quantization by 8 x 5 x 5 x 5 levels.
Work fsq(Context<B>& ctx, long frames) {
  Inputs in{ctx};
  const Sequence<B> x = frames_of(ctx, in.normal(Shape<2>{frames, 4}));
  FiniteScalarQuantizer<B> quantizer(ctx, {.levels = {8, 5, 5, 5}});
  const std::string name = concat("fsq/", frames);
  return {.name = name,
          .title = concat("FSQ, levels 8 5 5 5, ", frames, " frames"),
          .call = [=] { quantizer.encode(x); },
          .prove =
              [=](Proof& proof) {
                proof.add(name + "/x", x.frames);
                proof.add(name + "/codes", quantizer.encode(x));
              },
          .bytes = 4.0 * static_cast<double>(frames * (4 + 1))};
}

/// Lookup-free quantization by 18 signs (MAGVIT-v2's codebook).
Work lfq(Context<B>& ctx, long frames) {
  constexpr long bits = 18;
  Inputs in{ctx};
  const Sequence<B> x = frames_of(ctx, in.normal(Shape<2>{frames, bits}));
  LookupFreeQuantizer<B> quantizer(ctx, {.bits = bits, .entropy_weight = 0});
  const std::string name = concat("lfq/", frames);
  return {.name = name,
          .title = concat("LFQ, 18 bits, ", frames, " frames"),
          .call = [=] { quantizer.encode(x); },
          .prove =
              [=](Proof& proof) {
                proof.add(name + "/x", x.frames);
                proof.add(name + "/codes", quantizer.encode(x));
              },
          .bytes = 4.0 * static_cast<double>(frames * (bits + 1))};
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv, "phonaut-bench-quantizers", [](Context<B>& ctx, bool small) {
    if (small)
      return std::vector<Work>{residual(ctx, 5, 12, 20), direction(ctx, 5, 20), clusters(ctx, 9, 20, 24), fsq(ctx, 7),
                               lfq(ctx, 7)};
    return std::vector<Work>{residual(ctx, 75, 128, 1024),
                             residual(ctx, 750, 128, 1024),
                             residual(ctx, 15000, 128, 1024),
                             residual(ctx, 750, 8, 1024),
                             residual(ctx, 15000, 8, 1024),
                             direction(ctx, 750, 1024),
                             direction(ctx, 15000, 1024),
                             clusters(ctx, 15000, 500, 768),
                             clusters(ctx, 15000, 2000, 768),
                             fsq(ctx, 15000),
                             fsq(ctx, 600000),
                             lfq(ctx, 15000),
                             lfq(ctx, 240000)};
  });
}
