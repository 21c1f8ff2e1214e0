#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "palate/core/error.h"
#include "palate/diffusion/multistep_sampler.h"
#include "palate/diffusion/samplers.h"

namespace palate {
namespace {

// Names of other multistep classes' solvers, which configs made for those carry: the default is meant, as in the reference.
std::string solver_type(const SchedulerConfig& config) {
  const std::string type = config.choice("solver_type", "midpoint", {"midpoint", "heun", "logrho", "bh1", "bh2"});
  return type == "heun" ? type : "midpoint";
}

std::string algorithm_type(const SchedulerConfig& config) {
  const std::string type =
      config.choice("algorithm_type", "dpmsolver++", {"dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver", "deis"});
  return type == "deis" ? "dpmsolver++" : type;
}

// x(next) = x * x(now) + d0 * D0 + d1 * D1 + d2 * D2 + noise * n, where the D are divided differences of the predictions.
struct Weights {
  Tensor x, d0, d1, d2, noise;
};

class DpmSolver final : public MultistepSampler {
 public:
  explicit DpmSolver(const Json& json) : MultistepSampler(json, "dpm++", 3) {
    const SchedulerConfig config(json);
    const std::string algorithm = algorithm_type(config);
    plus_ = algorithm.ends_with("++");
    sde_ = algorithm.starts_with("sde");
    midpoint_ = solver_type(config) == "midpoint";
    check<UsageError>(plus_ || !ends_at_zero_, "scheduler_config.json: algorithm_type ", algorithm,
                      " needs final_sigmas_type sigma_min, found zero");
    check<UsageError>(plus_ || !sde_ || order_ < 3,
                      "scheduler_config.json: algorithm_type sde-dpmsolver takes solver_order 1 or 2, found 3");
    const std::string variance = config.text("variance_type", "");
    check<UsageError>(!variance.starts_with("learned"), "scheduler_config.json: variance_type is '", variance,
                      "', which Palate does not support: models that predict a variance are not sampled");
    euler_at_final_ = config.flag("euler_at_final", false);
    lu_ = config.flag("use_lu_lambdas", false);
    karras_ = config.flag("use_karras_sigmas", false);
    rounds_ = config.text("beta_schedule", "linear") != "squaredcos_cap_v2";
    last_ = last_timestep(config.number("lambda_min_clipped", -std::numeric_limits<double>::infinity()));
  }

  void set_timesteps(int64_t count) override {
    std::vector<double> steps = whole_timesteps(last_, count), levels;
    const auto& table = table_.levels();
    if (karras_ || lu_ || table_.respaced()) {
      levels = karras_ || !lu_ ? table_.respace(table.back(), table.front(), count) : table_.even_logarithms(count);
      steps = table_.timesteps_of(levels);
      for (double& t : steps) t = rounds_ && (karras_ || lu_) ? std::nearbyint(t) : t;
    } else {
      for (const double t : steps) levels.push_back(table_.level_at(t));
    }
    levels.push_back(ends_at_zero_ ? 0 : table.front());
    use(steps, levels);
  }

  bool stochastic() const override { return sde_; }

  Tensor step(const Tensor& predicted, int64_t index, const Tensor& x_t, const Tensor& noise) override {
    check(!sde_ || noise.defined(), name_, ": step ", index, " needs noise");
    const int64_t before = begin_step(index);
    const Tensor x = x_t.to(torch::kFloat32), output = predicted.to(torch::kFloat32);
    history_.push_front(plus_ ? to_x0(output, x, index) : to_epsilon(output, x, index));
    if (static_cast<int64_t>(history_.size()) > order_) history_.pop_back();
    const int64_t order = std::min(order_at(index), before + 1);
    const Level now = level(index), next = level(index + 1);
    const Weights w = weights(now, next, order);
    Tensor made = w.x * x + w.d0 * history_[0];
    if (order > 1) made = made + differences(w, index, now.lambda, next.lambda - now.lambda, order);
    return sde_ ? made + w.noise * noise.to(x.device(), torch::kFloat32) : made;
  }

 private:
  // How many timesteps are left when those whose lambda lies below the bound are not used.
  int64_t last_timestep(double bound) const {
    const auto& logs = table_.log_levels();  // lambda = -log sigma
    const auto below = std::count_if(logs.begin(), logs.end(), [&](float log) { return -static_cast<double>(log) < bound; });
    return static_cast<int64_t>(logs.size()) - below;
  }

  int64_t order_at(int64_t index) const {
    const bool few = lower_order_final_ && count() < 15;
    if (index == count() - 1 && (euler_at_final_ || few || ends_at_zero_)) return 1;
    return index == count() - 2 && few ? std::min<int64_t>(order_, 2) : order_;
  }

  Tensor differences(const Weights& w, int64_t index, const Tensor& lambda, const Tensor& h, int64_t order) const {
    const Tensor lambda1 = level(index - 1).lambda, r0 = (lambda - lambda1) / h;
    const Tensor first = 1.0 / r0 * (history_[0] - history_[1]);
    if (order == 2) return w.d1 * first;
    const Tensor r1 = (lambda1 - level(index - 2).lambda) / h;
    const Tensor second = first - 1.0 / r1 * (history_[1] - history_[2]);
    return w.d1 * (first + r0 / (r0 + r1) * second) + w.d2 * (1.0 / (r0 + r1) * second);
  }

  // The third order is derived in one way, the second in two: the midpoint's takes half of D0's weight.
  Weights weights(const Level& now, const Level& next, int64_t order) const {
    const Tensor h = next.lambda - now.lambda;
    const bool half = order == 2 && midpoint_;
    if (plus_ && !sde_) {
      const Tensor phi = torch::exp(-h) - 1.0, d0 = -next.alpha * phi;
      return {next.sigma / now.sigma, d0, half ? 0.5 * d0 : next.alpha * (phi / h + 1.0), -next.alpha * ((phi + h) / (h * h) - 0.5), {}};
    }
    if (plus_) {
      const Tensor phi = 1.0 - torch::exp(-2.0 * h), d0 = next.alpha * phi;
      return {next.sigma / now.sigma * torch::exp(-h), d0, half ? 0.5 * d0 : next.alpha * (phi / (-2.0 * h) + 1.0),
              next.alpha * ((phi - 2.0 * h) / (2.0 * h).square() - 0.5), next.sigma * phi.sqrt()};
    }
    const Tensor phi = torch::exp(h) - 1.0;
    const Tensor scale = (sde_ ? -2.0 : -1.0) * next.sigma, d0 = scale * phi;
    return {next.alpha / now.alpha, d0, half ? 0.5 * d0 : scale * (phi / h - 1.0), scale * ((phi - h) / (h * h) - 0.5),
            next.sigma * (torch::exp(2 * h) - 1.0).sqrt()};
  }

  bool plus_, sde_, midpoint_, euler_at_final_, lu_, karras_, rounds_;
  int64_t last_;
};

}  // namespace

std::unique_ptr<Sampler> make_dpm_solver(const Json& config) { return std::make_unique<DpmSolver>(config); }

}  // namespace palate
