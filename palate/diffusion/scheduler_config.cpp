#include "palate/diffusion/scheduler_config.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"

namespace palate {
namespace {

const char* where = "scheduler_config.json: ";

[[noreturn]] void wrong_type(const char* key, const char* expected, const Json& found) {
  fail<FormatError>(where, key, " should be ", expected, ", found ", found.dump().substr(0, 60));
}

}  // namespace

SchedulerConfig::SchedulerConfig(const Json& json) : json_(json) {
  check<FormatError>(json.is_object(), where, "expected an object, found ", json.type_name());
}

bool SchedulerConfig::has(const char* key) const { return find(key) != nullptr; }

const Json* SchedulerConfig::find(const char* key) const {
  const auto at = json_.find(key);
  return at == json_.end() || at->is_null() ? nullptr : &*at;
}

double SchedulerConfig::number(const char* key, double otherwise) const {
  if (!has(key)) return otherwise;
  if (!json_[key].is_number()) wrong_type(key, "a number", json_[key]);
  return json_[key].get<double>();
}

int64_t SchedulerConfig::whole(const char* key, int64_t otherwise) const {
  if (!has(key)) return otherwise;
  if (!json_[key].is_number_integer()) wrong_type(key, "a whole number", json_[key]);
  return json_[key].get<int64_t>();
}

bool SchedulerConfig::flag(const char* key, bool otherwise) const {
  if (!has(key)) return otherwise;
  if (!json_[key].is_boolean()) wrong_type(key, "true or false", json_[key]);
  return json_[key].get<bool>();
}

std::string SchedulerConfig::text(const char* key, const std::string& otherwise) const {
  if (!has(key)) return otherwise;
  if (!json_[key].is_string()) wrong_type(key, "text", json_[key]);
  return json_[key].get<std::string>();
}

std::string SchedulerConfig::choice(const char* key, const std::string& otherwise, const std::vector<std::string>& words) const {
  const std::string word = text(key, otherwise);
  const bool known = std::find(words.begin(), words.end(), word) != words.end();
  check<UsageError>(known, where, key, " is '", word, "', expected ", one_of(words), did_you_mean(word, words));
  return word;
}

int64_t SchedulerConfig::steps() const {
  const int64_t steps = has("trained_betas") ? betas().numel() : whole("num_train_timesteps", 1000);
  check<FormatError>(steps >= 2 && steps <= 1000000, where, "num_train_timesteps should be from 2 to 1000000, found ", steps);
  return steps;
}

Prediction SchedulerConfig::prediction() const {
  const std::string word = choice("prediction_type", "epsilon", {"epsilon", "v_prediction", "sample"});
  return word == "epsilon" ? Prediction::epsilon : word == "sample" ? Prediction::sample : Prediction::v;
}

Tensor SchedulerConfig::betas(const BetaDefaults& otherwise) const {
  Tensor betas;
  if (has("trained_betas")) {
    const Json& list = json_["trained_betas"];
    const bool numbers =
        list.is_array() && !list.empty() && std::all_of(list.begin(), list.end(), [](const Json& b) { return b.is_number(); });
    if (!numbers) wrong_type("trained_betas", "null or a list of numbers", list);
    betas = torch::tensor(list.get<std::vector<double>>(), torch::kFloat64).to(torch::kFloat32);
  } else {
    const std::string schedule = choice("beta_schedule", otherwise.schedule, {"linear", "scaled_linear", "squaredcos_cap_v2"});
    betas =
        make_betas(schedule, number("beta_start", otherwise.start), number("beta_end", otherwise.end), whole("num_train_timesteps", 1000));
  }
  return otherwise.rescales && flag("rescale_betas_zero_snr", false) ? rescale_zero_terminal_snr(betas) : betas;
}

void SchedulerConfig::refuse(const char* key) const {
  check<UsageError>(!flag(key, false), where, key, " is true, which Palate does not support: set it to false or choose another scheduler");
}

void SchedulerConfig::refuse_given(const char* key) const {
  check<UsageError>(!has(key), where, key, " is set, which Palate does not support: set it to null or choose another scheduler");
}

std::vector<double> linspace(double start, double stop, int64_t count) {
  std::vector<double> values;
  const double step = count > 1 ? (stop - start) / static_cast<double>(count - 1) : 0;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(i) * step + start);
  if (count > 1) values.back() = stop;
  return values;
}

Spacing read_spacing(const SchedulerConfig& config, const std::string& otherwise) {
  Spacing spacing;
  spacing.name = config.choice("timestep_spacing", otherwise, {"leading", "linspace", "trailing"});
  spacing.offset = config.whole("steps_offset", 0);
  spacing.total = config.steps();
  return spacing;
}

std::vector<double> spaced_timesteps(const Spacing& spacing, int64_t count) {
  const int64_t total = spacing.total;
  check<UsageError>(count >= 1 && count <= total, "sampler: the number of steps should be from 1 to ", total, ", found ", count);
  std::vector<double> steps;
  if (spacing.name == "linspace") {
    steps = linspace(0, static_cast<double>(total - 1), count);
    std::reverse(steps.begin(), steps.end());
  } else if (spacing.name == "leading") {
    const int64_t ratio = total / count;
    for (int64_t i = count - 1; i >= 0; --i) steps.push_back(static_cast<double>(i * ratio + spacing.offset));
  } else {
    steps = trailing_timesteps(total, total, count);
  }
  check_inside(spacing, count, steps);
  return steps;
}

std::vector<double> trailing_timesteps(int64_t last, int64_t total, int64_t count) {
  // The length is the rounded-up quotient. Where rounding makes that one too many, the surplus step would be at
  // timestep -1: it is left out.
  const double start = static_cast<double>(last), ratio = static_cast<double>(total) / static_cast<double>(count);
  const double delta = (start - ratio) - start;
  const auto length = static_cast<int64_t>(std::ceil(start / ratio));
  std::vector<double> steps;
  for (int64_t i = 0; i < std::min(length, count); ++i) steps.push_back(std::nearbyint(start + static_cast<double>(i) * delta) - 1);
  return steps;
}

void check_inside(const Spacing& spacing, int64_t count, const std::vector<double>& steps) {
  const bool inside = !steps.empty() && steps.front() < static_cast<double>(spacing.total) && steps.back() >= 0;
  check<UsageError>(inside, "sampler: ", count, " steps with steps_offset ", spacing.offset, " start at timestep ",
                    steps.empty() ? -1 : steps.front(), ", but the schedule has only 0 to ", spacing.total - 1, ": ask for fewer steps");
}

Estimate estimate(Prediction prediction, const Tensor& predicted, const Tensor& x_t, float a, float s) {
  if (prediction == Prediction::epsilon) return {(x_t - s * predicted) / a, predicted};
  if (prediction == Prediction::sample) return {predicted, (x_t - a * predicted) / s};
  return {a * x_t - s * predicted, a * predicted + s * x_t};
}

}  // namespace palate
