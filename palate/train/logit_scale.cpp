#include "palate/train/logit_scale.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/objective/loss/beta.h"

namespace palate {
namespace {

constexpr double usual_change = 0.01;  // of the errors, in some hundred steps
constexpr double least_logit = 0.01;   // below it the loss does not move from log 2
const char* const state_name = "logit_scale";

double mean_of(const Tensor& values) { return values.detach().to(torch::kFloat64).mean().item<double>(); }

std::string printed(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}
std::string rounded(double value) { return printed("%.2g", value); }
std::string digits(double value) { return printed("%.5g", value); }  // of k and beta, which a config may be given

}  // namespace

LogitScale::LogitScale(Objective& objective, int64_t warmup, int64_t steps) : beta_(objective.strength()) {
  if (!beta_) return;
  waits_ = true;
  automatic_ = beta_->automatic();
  if (!automatic_) return;
  chosen_ = false;
  last_ = warmup + beta_->auto_steps;
  first_ = last_ - (beta_->auto_steps + 1) / 2;
  beta_->set_k(1);
  if (last_ >= steps)
    warn("objective.beta = \"auto\" is chosen after ", last_, " steps (warm-up and objective.auto_steps), and the run has ", steps,
         ": it keeps its first guess; set objective.auto_steps lower");
}

double LogitScale::beta() const { return beta_->beta; }

void LogitScale::begin(const ObjectiveOutput& first) {
  waits_ = false;
  const bool compared = first.reference.defined();
  const double d = mean_of(compared ? first.reference : first.policy);
  // Without a reference the pictures' own difference is a margin from the beginning.
  const double margin = compared ? usual_change * d : mean_of(first.terms.logits.abs()) / beta_->k();
  if (automatic_ && margin > 0) beta_->set_k(beta_->beta_target / margin);
  const double z = beta_->k() * margin;
  const std::string told = compared
                               ? concat("errors are about ", rounded(d), " in this space, so a margin of 1 % of that gives |z| of about ")
                               : concat("margins are about ", rounded(margin), " before training, which gives |z| of about ");
  log_info("z = ", digits(beta_->k()), " * margin: ", told, rounded(z),
           automatic_ ? concat(" (objective.beta = \"auto\" is ", digits(beta_->beta), " at first)") : std::string());
  if (z < least_logit)
    warn("objective.beta = ", digits(beta_->beta), " makes z so small that the loss will hardly move from 0.693 (log 2): raise it to ",
         digits(beta_->beta * beta_->beta_target / std::max(z, 1e-30)), ", or set objective.beta = \"auto\"");
}

void LogitScale::observe(int64_t step, const ObjectiveOutput& output, const Ranks& ranks) {
  step_ = step;
  if (chosen_ || step < first_) return;
  sum_ += mean_of(ranks.mean(output.terms.logits.detach().abs().mean())) / beta_->k();
  passes_ += 1;
}

void LogitScale::end_step() {
  if (chosen_ || step_ + 1 < last_ || sum_ <= 0) return;
  chosen_ = true;
  const double margin = sum_ / passes_;
  const double before = beta_->k() * margin;
  beta_->set_k(beta_->beta_target / margin);
  log_info("objective.beta = \"auto\": margins are about ", rounded(margin), " after ", step_ + 1, " steps, |z| was ", rounded(before),
           ": beta is ", digits(beta_->beta), " from here on, for |z| of about ", rounded(beta_->beta_target));
}

void LogitScale::save(TensorMap& tensors) const {
  if (automatic_ && !waits_) tensors[state_name] = torch::tensor({beta_->beta, sum_, passes_, chosen_ ? 1.0 : 0.0}, torch::kFloat64);
}

void LogitScale::load(const TensorMap& tensors) {
  const auto found = tensors.find(state_name);
  waits_ = waits_ && automatic_ && found == tensors.end();  // what is told was told when the run began
  if (!automatic_ || found == tensors.end()) return;
  const auto* state = found->second.data_ptr<double>();
  beta_->beta = state[0];
  sum_ = state[1];
  passes_ = state[2];
  chosen_ = state[3] != 0;
}

}  // namespace palate
