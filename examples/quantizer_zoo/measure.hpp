#pragma once
// Rate, distortion, usage and time of a trained quantizer, over speakers whom it never heard.
#include <nlohmann/json.hpp>

#include "coder.hpp"

/// One row for each setting: `bits` of a frame and `bit_rate` by the sizes of the books; `coded_bits` and
/// `coded_bit_rate` behind an entropy coder whose tables are those of the training frames; `snr` in dB and `left`, the
/// share of the variance around the training mean that is lost, both null for labels; `used`, the share of a book's
/// entries that any of the `frames` chose, and `perplexity` by entries, both means over books; `microseconds` of
/// processor time (on a GPU, of time) to encode a frame, all books.
nlohmann::json measured(Context<B>& ctx, const Specimen& specimen, const Coder& coder, const Latents& latents);

/// Bits of a frame and the SNR in dB of a Gaussian source with the latents' covariance that is coded frame by frame as
/// well as can be (reverse water-filling: T. Cover and J. Thomas, "Elements of Information Theory", 10.3.3), from
/// `least` to `most` bits.
struct GaussianBound {
  std::vector<double> bits, snr;
};
GaussianBound gaussian_bound(const std::vector<double>& spectrum, double least, double most);
