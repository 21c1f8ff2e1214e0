#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/diffusion/multistep_sampler.h"
#include "palate/diffusion/samplers.h"

namespace palate {
namespace {

// Names of other multistep classes' solvers, which configs made for those carry: the default is meant, as in the reference.
bool is_bh1(const SchedulerConfig& config) {
  return config.choice("solver_type", "bh2", {"bh1", "bh2", "midpoint", "heun", "logrho"}) == "bh1";
}

// A predictor step, and when the network has answered there, the same step again with that answer: the corrector.
class UniPc final : public MultistepSampler {
 public:
  explicit UniPc(const Json& json) : MultistepSampler(json, "unipc", 5) {
    const SchedulerConfig config(json);
    config.refuse_given("solver_p");
    config.refuse_given("shift_terminal");
    x0_ = config.flag("predict_x0", true);
    bh1_ = is_bh1(config);
    check<UsageError>(order_ == 1 || lower_order_final_ || !ends_at_zero_,
                      "scheduler_config.json: lower_order_final false needs final_sigmas_type sigma_min: the last step to noise level 0 "
                      "has no second order");
    if (const Json* off = config.find("disable_corrector")) {
      const bool whole = off->is_array() && std::all_of(off->begin(), off->end(), [](const Json& i) { return i.is_number_integer(); });
      check<FormatError>(whole, "scheduler_config.json: disable_corrector should be a list of whole numbers, found ",
                         off->dump().substr(0, 60));
      uncorrected_ = off->get<std::vector<int64_t>>();
    }
    karras_ = config.flag("use_karras_sigmas", false);
  }

  void set_timesteps(int64_t count) override {
    std::vector<double> steps = whole_timesteps(spacing_.total, count), levels;
    const auto& table = table_.levels();
    if (table_.respaced()) {
      levels = table_.respace(table.back(), table.front(), count);
      steps = table_.timesteps_of(levels);
      for (double& t : steps) t = karras_ ? std::nearbyint(t) : t;
    } else {
      for (const double t : steps) levels.push_back(table_.level_at(t));
    }
    levels.push_back(ends_at_zero_ ? 0 : table_.respaced() ? levels.back() : table.front());
    use(steps, levels);
    start_ = Tensor();
  }

  bool stochastic() const override { return false; }

  Tensor step(const Tensor& predicted, int64_t index, const Tensor& x_t, const Tensor&) override {
    const int64_t before = begin_step(index);
    Tensor x = x_t.to(torch::kFloat32);
    const Tensor output = predicted.to(torch::kFloat32), answer = x0_ ? to_x0(output, x, index) : to_epsilon(output, x, index);
    const bool off = std::find(uncorrected_.begin(), uncorrected_.end(), index - 1) != uncorrected_.end();
    if (start_.defined() && !off) x = update(index - 1, start_, answer);
    history_.push_front(answer);
    if (static_cast<int64_t>(history_.size()) > order_) history_.pop_back();
    taken_ = std::min(lower_order_final_ ? std::min(order_, count() - index) : order_, before + 1);
    start_ = x;
    return update(index, x, {});
  }

 private:
  // From level `from` to the next with the last taken_ answers; `ahead`, the answer at the next level, makes it the corrector.
  Tensor update(int64_t from, const Tensor& x, const Tensor& ahead) const {
    const Level now = level(from), next = level(from + 1);
    const Tensor h = next.lambda - now.lambda, hh = x0_ ? -h : h, phi = torch::expm1(hh);
    const Tensor share = x0_ ? next.sigma / now.sigma : next.alpha / now.alpha, scale = x0_ ? next.alpha : next.sigma;
    const Tensor& newest = history_[0];
    const Tensor made = share * x - scale * phi * newest;
    if (taken_ == 1 && !ahead.defined()) return made;
    std::vector<Tensor> ratios, slopes;
    for (int64_t i = 1; i < taken_; ++i) {
      ratios.push_back((level(from - i).lambda - now.lambda) / h);
      slopes.push_back((history_[static_cast<size_t>(i)] - newest) / ratios.back());
    }
    if (ahead.defined()) slopes.push_back(ahead - newest);
    ratios.push_back(torch::ones({}));
    const Tensor basis = bh1_ ? hh : phi, rho = coefficients(ratios, hh, phi, basis, ahead.defined());
    Tensor sum = rho[0] * slopes[0];
    for (size_t k = 1; k < slopes.size(); ++k) sum = sum + rho[static_cast<int64_t>(k)] * slopes[k];
    return made - scale * basis * sum;
  }

  // The paper's R rho = b, [order]; the predictor leaves out the last row and column. Where that is one equation, the
  // reference takes one half.
  static Tensor coefficients(const std::vector<Tensor>& ratios, const Tensor& hh, const Tensor& phi, const Tensor& basis, bool corrects) {
    const auto order = static_cast<int64_t>(ratios.size());
    if (order == (corrects ? 1 : 2)) return torch::full({1}, 0.5);
    const Tensor at = torch::stack(ratios);
    std::vector<Tensor> rows, right;
    Tensor term = phi / hh - 1;
    double factorial = 1;
    for (int64_t i = 1; i <= order; ++i) {
      rows.push_back(at.pow(i - 1));
      right.push_back(term * factorial / basis);
      factorial *= static_cast<double>(i + 1);
      term = term / hh - 1 / factorial;
    }
    const int64_t used = corrects ? order : order - 1;
    return torch::linalg_solve(torch::stack(rows).narrow(0, 0, used).narrow(1, 0, used), torch::stack(right).narrow(0, 0, used));
  }

  bool x0_, bh1_, karras_;
  std::vector<int64_t> uncorrected_;  // steps that are not corrected
  int64_t taken_ = 1;                 // the order of the last predictor
  Tensor start_;                      // x before the last predictor
};

}  // namespace

std::unique_ptr<Sampler> make_unipc(const Json& config) { return std::make_unique<UniPc>(config); }

}  // namespace palate
