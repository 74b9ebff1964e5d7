// Published Zipformers: their sizes, and strict loading of checkpoints under their names.
#include <cstdlib>

#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/encoders/zipformer/icefall.hpp"
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "phonaut/training/checkpoint.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

/// What else a recogniser of icefall has.
struct Joiner {
  Param<Cpu, 2> weight;
  static void visit(auto& self, auto&& f) { f("encoder_proj.weight", self.weight); }
};
struct Recogniser {
  ZipformerEncoder<Cpu> encoder;
  Joiner joiner;
  Param<Cpu, 1> surprise;
  static void visit(auto& self, auto&& f) {
    f("", self.encoder);
    f("joiner", self.joiner);
    f("encoder.encoders.9.surprise", self.surprise);
  }
};

ZipformerEncoder<Cpu> tiny(Context<Cpu>& ctx, bool causal) {
  ZipformerConfig c;
  c.stacks = {{.dim = 4, .layers = 1, .heads = 1, .feedforward = 4, .kernel = 3, .pos_dim = 4},
              {.dim = 6, .layers = 1, .heads = 2, .feedforward = 4, .kernel = 3, .downsample = 2, .pos_dim = 4}};
  return {ctx, {.encoder = causal ? c.causal() : c, .features = 7, .channels = {2, 2, 3}}};
}

void check_counts(const ZipformerConfig& config, long encoder, long with_stem) {
  Context<Cpu> ctx;
  const ZipformerEncoder<Cpu> model(ctx, {.encoder = config});
  CHECK(parameter_count(model.encoder) == encoder);
  CHECK(parameter_count(model) == with_stem);
}

}  // namespace

TEST_CASE("the published sizes", "[zipformer]") {
  check_counts(ZipformerConfig::small(), 21377826, 21989779);
  check_counts(ZipformerConfig::small().causal(), 21720098, 22332051);
  check_counts(ZipformerConfig::medium(), 63382150, 63994103);
  check_counts(ZipformerConfig::medium().causal(), 63944070, 64556023);
}
TEST_CASE("the published sizes, large", "[zipformer][slow]") {
  check_counts(ZipformerConfig::large(), 146013641, 146625594);
  check_counts(ZipformerConfig::large().causal(), 146855113, 147467066);
}

TEST_CASE("checkpoints of recognisers load strictly", "[zipformer]") {
  Context<Cpu> ctx;
  const TemporaryFolder folder;
  const std::string path = folder / "icefall.safetensors";
  for (const bool causal : {false, true}) {
    Recogniser file{tiny(ctx, causal), {make_param(ctx, Shape<2>{2, 6}, Init::uniform(1))}, {}};
    save(path, file);
    ZipformerEncoder<Cpu> model = tiny(ctx, causal);
    load(path, model, {.ignore = beside_icefall_encoder});
    for_each_weight(model, [&](const std::string& name, const auto& w) {
      for_each_weight(file.encoder, [&](const std::string& other, const auto& v) {
        if (name == other) CHECK(values_of(ctx, w.tensor()) == values_of(ctx, v.tensor()));
      });
    });

    INFO("what the encoder does not know is named, and so is what it misses");
    const std::string strict = message_of<LoadError>([&] { load(path, model); });
    CHECK(contains(strict, "joiner.encoder_proj.weight"));
    file.surprise = make_param(ctx, Shape<1>{1}, Init::constant(1));
    save(path, file);
    const std::string extra = message_of<LoadError>([&] { load(path, model, {.ignore = beside_icefall_encoder}); });
    CHECK(contains(extra, "encoder.encoders.9.surprise"));
    CHECK_FALSE(contains(extra, "joiner"));
    ZipformerEncoder<Cpu> other = tiny(ctx, !causal);
    const std::string wrong = message_of<LoadError>([&] { load(path, other, {.ignore = beside_icefall_encoder}); });
    CHECK(contains(wrong,
                   causal ? "conv_module1.depthwise_conv.weight" : "conv_module1.depthwise_conv.causal_conv.weight"));
  }
}
