#include "common/waveforms.hpp"

using namespace phonaut;

Waveform<Backend> waveform_of(Context<Backend>& ctx, const std::vector<float>& samples,
                              const std::vector<long>& lengths, long time, int rate) {
  return {input(ctx, Shape<2>{static_cast<long>(lengths.size()), time}, samples), lengths_of(ctx, lengths),
          static_cast<double>(rate)};
}
