// An encoder of your own in thirty lines: a convolution over the waveform, two Zipformer layers, a residual quantizer.
// Shows one training step and one inference.
#include <cstdio>
#include <phonaut/phonaut.hpp>

using namespace phonaut;

template <class B>
struct MyEncoder {
  Conv1d<B> stem;              // waveform -> 50 frames per second
  ZipformerStack<B> context;   // every frame looks at every other
  ResidualQuantizer<B> codes;  // 4 codebooks of 256 entries: 1600 bits per second

  explicit MyEncoder(Context<B>& ctx)
      : stem(ctx, {.in = 1, .out = 96, .taps = 400, .stride = 320}),
        context(ctx, {.dim = 96, .layers = 2, .heads = 4, .feedforward = 256, .kernel = 15}),
        codes(ctx, {.dims = 96, .levels = 4, .codebook = {.entries = 256}}) {}

  // (N, samples, 1) -> (N, T, 96)
  Sequence<B> features(const Sequence<B>& waveform) const {
    const Sequence<B> x = stem(waveform);
    return context(x.with(gelu(x.frames)));
  }
  static void visit(auto& self, auto&& f) {  // saving, loading, optimising and counting all walk this one list
    f("stem", self.stem);
    f("context", self.context);
    f("codes", self.codes);
  }
};

int main() {
  Context<Backend> ctx;
  MyEncoder<Backend> encoder(ctx);
  AdamW<Backend> optimiser(ctx.backend(), encoder);
  const auto noise = ctx.constant(random_normal(ctx, Shape<3>{2, 16000, 1}, ctx.random().take(32000)));
  const Sequence<Backend> second = sequence_of(noise, std::vector{16000, 12000}, 16000);  // the second is shorter

  ctx.train();  // record what is computed
  const auto x = encoder.features(second);
  const auto q = encoder.codes(x);
  const auto gradients = ctx.backward(mse_loss(q.quantized, second.with(x.frames)) + q.loss);
  optimiser.step(ctx.backend(), gradients, 1e-3);

  ctx.infer();  // compute and forget
  const auto codes = encoder.codes.encode(encoder.features(second));
  std::printf("%ld parameters; %ld frames per second; the first frame is codes", parameter_count(encoder), x.time());
  for (long level = 0; level < 4; ++level) std::printf(" %d", static_cast<int>(codes.in()(0, 0, level)));
  std::printf("\n");
}
