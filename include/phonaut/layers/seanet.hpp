#pragma once
// What the encoder and the decoder of SEANet share: its sizes and its residual units. M. Tagliasacchi et al., "SEANet:
// A Multi-modal Speech Enhancement Network", 2020; as codecs use it, N. Zeghidour et al., "SoundStream", 2021, and A.
// Défossez et al., "High Fidelity Neural Audio Compression" (EnCodec), 2022.
#include <optional>
#include <vector>

#include "phonaut/layers/conv_stream.hpp"
#include "phonaut/ops/activations.hpp"
#include "phonaut/ops/arithmetic.hpp"

namespace phonaut {

/// Sizes of a causal SEANet: convolutions between sound and latents, hop = product of the strides. Channels double
/// where the frame rate falls. Silence stands before the recording, so that a stream gives what its recording gives.
struct SeanetConfig {
  long signal = 1;                        ///< channels of what is coded: 1 of a waveform, or the bands of a spectrum
  long dims = 128;                        ///< of a latent frame
  long channels = 32;                     ///< at the rate of the waveform
  std::vector<long> strides{2, 4, 5, 8};  ///< from the waveform on
  std::vector<long> dilations{1};         ///< of the residual units at each rate
  long taps = 7;                          ///< of the convolution that takes sound in, or latents in the decoder
  long last_taps = 7;                     ///< of the convolution that gives latents out, or sound in the decoder
  long unit_taps = 3;                     ///< of the first convolution of a residual unit
  long compress = 2;                      ///< how many times fewer channels a residual unit has inside
  bool shortcut = false;                  ///< a convolution of one tap on the skip of residual units, as in EnCodec
  bool normed = false;                    ///< weight norm everywhere

  /// Samples for each latent frame.
  long hop() const {
    long all = 1;
    for (const long stride : strides) all *= stride;
    return all;
  }
  /// Channels at the lowest rate.
  long widest() const { return channels << strides.size(); }

  /// Of SoundStream: 24 kHz to 75 frames per second.
  static SeanetConfig soundstream() { return {.dilations = {1, 3, 9}, .last_taps = 3, .unit_taps = 7, .compress = 1}; }
  /// Of EnCodec, without the two LSTM layers that it has at the lowest rate.
  static SeanetConfig encodec() { return {.shortcut = true, .normed = true}; }
  /// Of Mimi: 24 kHz to 25 frames per second.
  static SeanetConfig mimi() { return {.dims = 512, .channels = 64, .strides = {4, 5, 6, 8}, .last_taps = 3}; }

  /// Throws ConfigError for sizes that make no sense.
  void check(const char* op) const {
    bool fits = signal > 0 && dims > 0 && channels > 0 && taps > 0 && last_taps > 0 && unit_taps > 0 && compress > 0 &&
                channels / compress > 0 && strides.size() < 16;
    for (const long n : strides) fits = fits && n > 0;
    for (const long n : dilations) fits = fits && n > 0;
    if (!fits)
      throw ConfigError(concat(op, ": sizes must be positive, got ", dims, " dims, ", channels, " channels, ", taps,
                               ", ", last_taps, " and ", unit_taps, " taps, and inside of units 1 / ", compress));
  }
};

/// x + conv(elu(conv(elu(x)))), or with a convolution of one tap on the skip: frames (N, T, channels) -> the same
/// shape.
template <class B>
struct SeanetUnit {
  struct Config {
    long channels = 0, hidden = 0;
    long taps = 3, dilation = 1;
    bool shortcut = false, normed = false;
  };
  Conv1d<B> down, up;
  std::optional<Conv1d<B>> shortcut;

  SeanetUnit(Context<B>& ctx, const Config& c)
      : down(ctx, {.in = c.channels,
                   .out = c.hidden,
                   .taps = c.taps,
                   .dilation = c.dilation,
                   .padding = ConvPadding::causal(),
                   .normed = c.normed}),
        up(ctx, {.in = c.hidden, .out = c.channels, .normed = c.normed}) {
    if (c.shortcut)
      shortcut.emplace(ctx, typename Conv1d<B>::Config{.in = c.channels, .out = c.channels, .normed = c.normed});
  }

  Sequence<B> operator()(const Sequence<B>& x) const {
    WholeRecordings convolve;
    return run(x, convolve);
  }
  /// `convolve` is WholeRecordings or NextChunk.
  Sequence<B> run(const Sequence<B>& x, auto& convolve) const {
    const Sequence<B> inner = convolve(down, x.with(elu(x.frames)));
    const Sequence<B> change = convolve(up, inner.with(elu(inner.frames)));
    return x.with((shortcut ? convolve(*shortcut, x).frames : x.frames) + change.frames);
  }
  void add_pasts(ConvPasts<B>& state) const {
    state.add(down, down.weight.extent(2));
    state.add(up, up.weight.extent(2));
  }

  static void visit(auto& self, auto&& f) {
    f("down", self.down);
    f("up", self.up);
    f("shortcut", self.shortcut);
  }
};

namespace detail {

/// The residual units at one rate, one for each dilation.
template <class B>
std::vector<SeanetUnit<B>> seanet_units(Context<B>& ctx, const SeanetConfig& c, long channels) {
  std::vector<SeanetUnit<B>> units;
  for (const long dilation : c.dilations)
    units.emplace_back(ctx, typename SeanetUnit<B>::Config{.channels = channels,
                                                           .hidden = channels / c.compress,
                                                           .taps = c.unit_taps,
                                                           .dilation = dilation,
                                                           .shortcut = c.shortcut,
                                                           .normed = c.normed});
  return units;
}

}  // namespace detail
}  // namespace phonaut
