// What is drawn for the examples of a batch, and the pictures with that noise.
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/objective/objective.h"

namespace palate {
namespace {

// Where a step of a sampler of `steps` steps leads from t; never beyond the least noise.
Tensor after_step(const NoiseProcess& process, const Tensor& t, int64_t steps) {
  const TimestepRange range = process.range();
  const double all = range.last - range.first + (range.whole ? 1 : 0), stride = all / static_cast<double>(steps);
  return (range.whole ? t - static_cast<int64_t>(stride) : t - stride).clamp_min(range.first).to(t.scalar_type());
}

double any_timestep(const NoiseProcess& process, const Key& key) {
  const TimestepRange range = process.range();
  Generator generator(key);
  if (!range.whole) return generator.uniform(range.first, range.last);
  return range.first + static_cast<double>(generator.below(static_cast<int64_t>(range.last - range.first) + 1));
}

}  // namespace

Tensor min_snr_weight(const NoiseProcess& process, const Tensor& t, double gamma) {
  const Tensor snr = process.snr(t).to(torch::kFloat64), capped = snr.clamp_max(gamma);
  const Tensor weight = [&] {
    switch (process.prediction()) {
      case Prediction::epsilon:
        return at::where(snr.gt(0), capped / snr, torch::ones_like(snr));  // the limit at zero terminal SNR
      case Prediction::v:
        return capped / (snr + 1);
      case Prediction::sample:
        break;
      case Prediction::flow:
        fail<UsageError>("objective.snr_gamma: min-SNR weights are for models that predict noise, v or the picture: set it to 0");
    }
    return capped;
  }();
  return weight.to(torch::kFloat32);
}

Noising Objective::draw(const Batch& batch, uint64_t seed) const { return draw_with(*timesteps_, batch, seed); }
Noising Objective::draw_fixed(const Batch& batch, uint64_t seed) const { return draw_with(fixed_ ? *fixed_ : *timesteps_, batch, seed); }

// Timesteps that the error space has no use for are drawn again.
Timestep Objective::useful(const TimestepPolicy& timesteps, Generator& generator) const {
  for (int tries = 0; tries < 1000; ++tries) {
    const Timestep step = timesteps.draw(process_, generator);
    if (step.t >= range_.first && step.t <= range_.last) return step;
  }
  fail<UsageError>("objective.timesteps = \"", config_.timesteps, "\" draws none of the timesteps ", range_.first, " to ", range_.last,
                   " that objective.error_space = \"", config_.error_space, "\" has an error at: draw others");
}

Noising Objective::draw_with(const TimestepPolicy& timesteps, const Batch& given, uint64_t seed) const {
  const Batch batch = seen(given);
  const std::vector<int64_t> one = batch.x0.sizes().slice(1).vec();
  std::vector<int64_t> constants(one.size(), 1);  // one number a channel, whatever comes behind it
  constants[0] = one[0];
  const Tensor own = batch.weight.defined() ? batch.weight : torch::ones({batch.size()});
  std::vector<double> t, features_t;
  std::vector<float> weight;
  std::vector<Tensor> noise, step_noise, inversion_noise;
  std::vector<int64_t> nodes = one;
  nodes.insert(nodes.begin(), config_.inversion_steps);
  for (const Visit& visit : batch.visits) {
    Generator times({seed, visit.id, visit.draw, Purpose::timestep});
    const Timestep step = useful(timesteps, times);
    weight.push_back(static_cast<float>(own[static_cast<int64_t>(t.size())].item<float>() * step.weight));
    t.push_back(step.t);
    Generator numbers({seed, visit.id, visit.draw, Purpose::noise});
    noise.push_back(numbers.normal(one));
    if (config_.noise_offset > 0) noise.back().add_(numbers.normal(constants), config_.noise_offset);
    if (config_.noising == "inverted") inversion_noise.push_back(numbers.normal(nodes));
    if (space_->needs_step_noise() || needs_.step_noise)
      step_noise.push_back(Generator({seed, visit.id, visit.draw, Purpose::step_noise}).normal(one));
    if (space_->needs_features_t()) features_t.push_back(any_timestep(process_, {seed, visit.id, visit.draw, Purpose::features_timestep}));
  }
  const auto device = batch.x0.device();
  return {.t = process_.timesteps(t).to(device),
          .weight = torch::tensor(weight, torch::kFloat32).to(device),
          .noise = at::stack(noise).to(device),
          .step_noise = step_noise.empty() ? Tensor() : at::stack(step_noise).to(device),
          .features_t = features_t.empty() ? Tensor() : process_.timesteps(features_t).to(device),
          .inversion_noise = inversion_noise.empty() ? Tensor() : at::stack(inversion_noise).to(device)};
}

void Objective::check_drawn(const Noising& noising) const {
  const bool steps = space_->needs_step_noise() && !noising.features_t.defined();
  check<UsageError>((!steps && !needs_.step_noise) || noising.step_noise.defined(), "step_noise: expected the noise z of the step from ",
                    "x_t, of the latents' shape, which ",
                    steps ? concat("objective.error_space '", config_.error_space, "'") : concat("objective.loss '", config_.loss, "'"),
                    " needs, found none: give it beside noise");
  check<UsageError>(!space_->needs_features_t() || noising.features_t.defined(),
                    "features_timesteps: expected the timestep t' of each example that objective.error_space '", config_.error_space,
                    "' looks at, [B], found none: give it beside timesteps");
}

Noised Objective::noised(const Batch& batch, const Noising& noising) const {
  const auto each_view = [&](const Tensor& x) {
    return batch.views == 1 || !x.defined() ? x : at::cat(std::vector<Tensor>(static_cast<size_t>(batch.views), x));
  };
  Noised it{.x0 = batch.x0,
            .noise = each_view(noising.noise),
            .x_t = {},
            .target = {},
            .t = each_view(noising.t),
            .step_noise = each_view(noising.step_noise),
            .previous_t = each_view(noising.previous_t),
            .features_t = each_view(noising.features_t),
            .process = &process_};
  if (needs_.steps && !it.previous_t.defined()) it.previous_t = after_step(process_, it.t, config_.sampler_steps);
  if (config_.snr_gamma > 0) it.error_weight = min_snr_weight(process_, it.t, config_.snr_gamma);
  it.x_t = process_.add_noise(it.x0, it.noise, it.t);
  it.target = process_.target(it.x0, it.noise, it.t);
  return it;
}

}  // namespace palate
