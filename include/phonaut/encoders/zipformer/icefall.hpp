#pragma once
#include <string>
#include <string_view>

namespace phonaut {

/// Whether an entry of an icefall checkpoint belongs to what such a recogniser has beside its encoder: predictor,
/// joiner, the projections of the pruned loss, CTC and attention heads. Encoders carry the published names, so the rest
/// of the file must fit one exactly:
///
///   load("zipformer.safetensors", encoder, {.ignore = beside_icefall_encoder});   // a ZipformerEncoder
///
/// scripts/icefall_to_safetensors makes that file.
inline bool beside_icefall_encoder(const std::string& name) {
  for (const std::string_view part :
       {"decoder.", "joiner.", "simple_am_proj.", "simple_lm_proj.", "ctc_output.", "attention_decoder."})
    if (name.starts_with(part)) return true;
  return false;
}

}  // namespace phonaut
