// Handlers of the Zipformer's golden files.
#include "golden.hpp"
#include "phonaut/ops/bias_norm.hpp"
#include "phonaut/ops/formula/swoosh.hpp"
#include "phonaut/ops/map.hpp"

namespace phonaut::golden {
namespace {

const Register bias_norm_op("zipformer.bias_norm", [](auto& g) {
  const auto x = g.input("x", "TNC");
  g.output("y", bias_norm(x, g.weight("bias", rank<1>), g.weight("log_scale", rank<0>)), "TNC");
});

/// Values and slopes on a regular range, and on arguments where a careless exponential overflows.
template <class F>
void swoosh(auto& g, const F& f) {
  for (const std::string tail : {"", "_extreme"}) {
    const auto x = g.input("x" + tail, rank<1>);
    g.output("y" + tail, map(x, f));
    std::vector<double> slopes;
    for (auto v : values_of(x)) slopes.push_back(static_cast<double>(f.slope(v)));
    g.output("deriv" + tail, slopes);
  }
}
const Register swoosh_l_op("zipformer.swoosh_l", [](auto& g) { swoosh(g, formula::SwooshL{}); });
const Register swoosh_r_op("zipformer.swoosh_r", [](auto& g) { swoosh(g, formula::SwooshR{}); });

}  // namespace
}  // namespace phonaut::golden
