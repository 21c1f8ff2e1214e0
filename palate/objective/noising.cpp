#include "palate/objective/noising.h"

#include <torch/types.h>

#include <algorithm>

#include "palate/core/error.h"

namespace palate {

double min_snr_weight(const NoiseSchedule& schedule, int64_t t, double gamma) {
  const double kept = schedule.alphas_cumprod()[t].item<float>(), snr = kept / (1 - kept), capped = std::min(snr, gamma);
  switch (schedule.prediction()) {
    case Prediction::epsilon:
      return snr > 0 ? capped / snr : 1;  // the limit at zero terminal SNR
    case Prediction::v:
      return capped / (snr + 1);
    case Prediction::sample:
      break;
  }
  return capped;
}

Draw draw_noise(const PairBatch& batch, const std::vector<uint64_t>& draws, uint64_t seed, const ObjectiveConfig& config,
                const NoiseSchedule& schedule) {
  check(draws.size() == batch.ids.size(), "draws: expected one a pair (", batch.ids.size(), "), found ", draws.size());
  const std::vector<int64_t> one(batch.latents_win.sizes().begin() + 1, batch.latents_win.sizes().end());
  std::vector<int64_t> t;
  std::vector<float> weight;
  std::vector<Tensor> noise;
  for (size_t i = 0; i < draws.size(); ++i) {
    Generator times({seed, batch.ids[i], draws[i], Purpose::timestep});
    const Timestep step = config.timestep_member->draw(schedule, times);
    t.push_back(step.t);
    const double own = batch.weights.empty() ? 1 : batch.weights[i];
    weight.push_back(
        static_cast<float>(own * step.weight * (config.snr_gamma > 0 ? min_snr_weight(schedule, step.t, config.snr_gamma) : 1)));
    Generator numbers({seed, batch.ids[i], draws[i], Purpose::noise});
    noise.push_back(numbers.normal(one));
    if (config.noise_offset > 0) noise.back().add_(numbers.normal({one[0], 1, 1}), config.noise_offset);
  }
  const auto device = batch.latents_win.device();
  return {.t = torch::tensor(t, torch::kInt64).to(device),
          .weight = torch::tensor(weight, torch::kFloat32).to(device),
          .noise = at::stack(noise).to(device)};
}

std::pair<Tensor, Tensor> branch_errors(Denoiser& network, const PairBatch& batch, const Draw& draw, const NoiseSchedule& schedule,
                                        const ErrorSpace& space, bool with_loser) {
  const auto twice = [&](const Tensor& x) { return with_loser ? at::cat({x, x}) : x; };
  const Tensor x0 = with_loser ? at::cat({batch.latents_win, batch.latents_lose}) : batch.latents_win;  // [2B, C, h, w]
  const Tensor noise = twice(draw.noise), t = twice(draw.t);
  const Condition condition = with_loser ? concat_conditions(batch.condition, batch.condition) : batch.condition;
  const Tensor x_t = schedule.add_noise(x0, noise, t);
  const Tensor prediction = network.predict(x_t, t, condition);
  const Tensor error = space.error({schedule, x0, noise, x_t, t, condition, prediction});  // [2B]
  if (!with_loser) return {error, Tensor()};
  const auto halves = error.chunk(2);
  return {halves[0], halves[1]};
}

}  // namespace palate
