// Handlers of losses that shape a distribution: SIGReg and its cousins, the KL divergence.
#include <cmath>
#include <functional>
#include <memory>

#include "golden.hpp"
#include "phonaut/losses/kl.hpp"
#include "phonaut/losses/sigreg.hpp"

namespace phonaut::golden {
namespace {

template <class B>
Tensor<B, 2> directions(Golden<B>& g) {
  const std::vector<long> shape = g.shape("input.directions");
  return input(g.context(), Shape<2>{shape[0], shape[1]}, g.values("input.directions")).tensor();
}
SigregOptions sigreg_options(const Config& config, long slices) {
  SigregOptions options;
  options.slices = slices;
  options.test = {.knots = config.integer("knots"), .t_max = config.number("t_max")};
  if (config.text("reduction", "mean") == "sum") options.reduction = Reduction::sum;
  return options;
}

/// Traces of SIGReg: (views, knots, slices) here, (views, slices, knots) in the files.
template <class B>
struct Trace {
  using W = kernel::Wide<typename B::Scalar>;
  long views, slices, knots;
  std::vector<typename B::Scalar> statistic;
  std::vector<W> cosine, sine;

  Trace(long views_, long slices_, long knots_)
      : views(views_),
        slices(slices_),
        knots(knots_),
        statistic(static_cast<size_t>(views * slices)),
        cosine(static_cast<size_t>(views * slices * knots)),
        sine(cosine.size()) {}
  detail::SigregTrace<B> handle() {
    return {View<typename B::Scalar, 2>(statistic.data(), {views, slices}),
            View<W, 3>(cosine.data(), {views, knots, slices}), View<W, 3>(sine.data(), {views, knots, slices})};
  }
  std::vector<double> by_slice(const std::vector<W>& values) const {
    std::vector<double> out(values.size());
    for (long v = 0; v < views; ++v)
      for (long k = 0; k < knots; ++k)
        for (long m = 0; m < slices; ++m)
          out[static_cast<size_t>((v * slices + m) * knots + k)] =
              static_cast<double>(values[static_cast<size_t>((v * knots + k) * slices + m)]);
    return out;
  }
};

template <class B, size_t R>
void run_sigreg(Golden<B>& g, const Var<B, R>& x) {
  auto& ctx = g.context();
  const auto slices = unit_slices(ctx, directions(g));
  const SigregOptions options = sigreg_options(g.config, slices.extent(1));
  const long views = R == 3 ? x.extent(0) : 1;
  Trace<B> trace(views, slices.extent(1), options.test.knots);
  g.output("slices", ctx.constant(slices));
  g.output("loss", sigreg(x, slices, options, trace.handle()));
  g.output("stat", std::vector<double>(trace.statistic.begin(), trace.statistic.end()));
  g.output("ecf_cos", trace.by_slice(trace.cosine));
  g.output("ecf_sin", trace.by_slice(trace.sine));
}

const Register sigreg_op("loss.sigreg", [](auto& g) {
  switch (g.shape("input.x").size()) {
    case 2:
      return run_sigreg(g, g.input("x", rank<2>));
    case 3:
      return run_sigreg(g, g.input("x", rank<3>));
    case 4:
      return run_sigreg(g, reshape(g.input("x", rank<4>), [&] {
                          const auto& shape = g.shape("input.x");
                          return Shape<3>{shape[0] * shape[1], shape[2], shape[3]};
                        }()));
    default:
      throw Unsupported("x of rank 2 to 4");
  }
});

/// Stands for the other ranks: what a rank wants to add up is given to a function.
class Played final : public Communicator {
 public:
  using Sum = std::function<void(double* values, long n)>;
  Played(int rank, int size, Sum sum) : rank_(rank), size_(size), sum_(std::move(sum)) {}
  int rank() const noexcept override { return rank_; }
  int size() const noexcept override { return size_; }
  void all_reduce(double* values, long n) override { sum_(values, n); }
  void all_reduce(float*, long) override { refuse(); }
  void broadcast(void*, std::size_t, int) override { refuse(); }
  void all_gather(const void*, std::size_t, void*) override { refuse(); }
  void barrier() override { refuse(); }
  std::shared_ptr<Communicator> duplicate() override { refuse(); }
  void abandon(const std::string&) noexcept override {}

 private:
  [[noreturn]] static void refuse() { throw Unsupported("ranks that do more than add up doubles"); }
  int rank_, size_;
  Sum sum_;
};

// Every rank runs for itself. What they tell each other is played back: a first run of each notes its sums, the second
// adds those of the others.
const Register sigreg_ranks_op("loss.sigreg_ranks", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const long world = g.config.integer("world");
  const auto slices = unit_slices(ctx, directions(g));
  SigregOptions options = sigreg_options(g.config, slices.extent(1));
  const bool was_training = ctx.training();
  const auto join = [&](long rank, const Played::Sum& sum) {
    ctx.join(Ranks(std::make_shared<Played>(static_cast<int>(rank), static_cast<int>(world), sum)));
    ctx.set_training(true);
  };
  std::vector<Var<B, 2>> x;
  std::vector<std::vector<std::vector<double>>> said(static_cast<size_t>(world));  // by rank, by call
  for (long r = 0; r < world; ++r) {
    x.push_back(g.input("x" + std::to_string(r), rank<2>));
    join(r, [&](double* values, long n) { said[static_cast<size_t>(r)].emplace_back(values, values + n); });
    Trace<B> trace(1, slices.extent(1), options.test.knots);
    sigreg(ctx.detach(x.back()), slices, options, trace.handle());
    g.output("local_cos" + std::to_string(r), trace.by_slice(trace.cosine));
    g.output("local_sin" + std::to_string(r), trace.by_slice(trace.sine));
  }
  for (long r = 0; r < world; ++r) {
    size_t call = 0;
    join(r, [&](double* values, long n) {
      for (long i = 0; i < n; ++i) {
        values[i] = 0;
        for (const auto& rank : said) values[i] += rank[call][static_cast<size_t>(i)];
      }
      ++call;
    });
    Trace<B> trace(1, slices.extent(1), options.test.knots);
    const auto loss = sigreg(x[static_cast<size_t>(r)], slices, options, trace.handle());
    g.output("ecf_cos", trace.by_slice(trace.cosine));
    g.output("ecf_sin", trace.by_slice(trace.sine));
    // The ranks share one loss; each has its own part of the gradient, which the sum over ranks gathers.
    if (r == 0) g.output("loss", loss);
    else g.loss_of("", loss);
    // What training that averages gradients over ranks wants instead.
    options.gradient_scale = static_cast<double>(world);
    call = 0;
    const auto again = ctx.variable(ctx.clone(x[static_cast<size_t>(r)].tensor()));
    g.loss_of("", sigreg(again, slices, options));
    options.gradient_scale = 1;
    g.after_backward([again, r](const auto& gradients, Report& report) {
      const auto values = to_vector(gradients[again]);
      report.compare("grad.x" + std::to_string(r) + "_autograd_per_rank", {values.begin(), values.end()});
    });
  }
  ctx.join({});
  ctx.set_training(was_training);
});

const Register kl_op("loss.kl_gauss", [](auto& g) {
  KlOptions options;
  const bool log_variance = g.config.text("param") == "logvar";
  if (!log_variance) options.spread = Spread::softplus(g.config.number("std_min"));
  options.beta = g.config.number("beta");
  options.free_bits = g.config.number("free_bits");
  const std::string floor = g.config.text("free_bits_mode");
  if (floor == "element") options.floor = KlOptions::Floor::element;
  if (floor == "dim") options.floor = KlOptions::Floor::dimension;

  const std::string spread_name = log_variance ? "logvar" : "scale";
  const auto mean = g.sequence("mu", "NTC"), spread = g.sequence(spread_name, "NTC");
  g.output("z", reparameterise(mean.frames, spread.frames, g.input("eps", "NTC"), options.spread));
  std::vector<double> elements;
  const auto m = values_of(mean.frames), s = values_of(spread.frames);
  for (size_t i = 0; i < m.size(); ++i)
    elements.push_back(static_cast<double>(
        log_variance ? formula::KlOfLogVariance{}.value(m[i], s[i])
                     : formula::KlOfSoftplus{static_cast<float>(options.spread.least)}.value(m[i], s[i])));
  g.output("kl_elem", elements);
  if (!g.has("input.mask")) return g.output("loss", kl_loss(mean, spread, options));
  const auto rows = marked_rows(mean, g.integers("input.mask"));
  g.output("loss", kl_loss(take_rows(mean.frames, rows), take_rows(spread.frames, rows), options));
});

}  // namespace
}  // namespace phonaut::golden
