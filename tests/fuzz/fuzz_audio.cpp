// Any bytes as an audio file: refused, or finite samples, no more than asked for.
#include <cmath>

#include "fuzz.hpp"
#include "phonaut/io/audio.hpp"

// libsndfile leaks a little for some broken Ogg files; what we leak ourselves would still be reported.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libvorbis\nleak:libsndfile\nleak:libogg\nleak:libopus\n";
}
extern "C" const char* __lsan_default_options() { return "print_suppressions=0"; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace phonaut;
  // The options follow the length, so that a corpus file is just an audio file.
  const AudioOptions options{.rate = size % 4 == 0 ? 16000 : 0,
                             .mono = size % 3 != 0,
                             .from = size % 5 == 0 ? 100 : 0,
                             .frames = size % 7 == 0 ? 50 : -1,
                             .resampling = Resampling::quick,
                             .max_samples = 200'000};
  fuzz::untrusted([&] {
    const auto audio = read_audio(fuzz::bytes(data, size), "fuzz", options);
    fuzz::require(!audio.samples.empty() && static_cast<long>(audio.samples.size()) <= options.max_samples, "length");
    fuzz::require(audio.channels > 0 && audio.rate > 0, "channels and rate");
    for (const float x : audio.samples) fuzz::require(!std::isnan(x), "samples are numbers");
  });
  return 0;
}
