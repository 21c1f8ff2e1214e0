#include "palate/personalize/noise_distance.h"

#include <torch/types.h>

#include <cmath>

#include "palate/core/generator.h"
#include "palate/core/progress.h"
#include "palate/nn/adaptable.h"

namespace palate {
namespace {

Condition encoded(Pipeline& pipeline, const std::vector<std::string>& prompts, const Tensor& latents) {
  Condition condition = pipeline.encode_prompts(prompts);
  if (pipeline.takes_time_ids()) condition.set("time_ids", pipeline.time_ids(latents));
  return condition;
}

// Mean and its standard error.
void summarise(NoiseDistance& bucket, const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) bucket.value += value / n;
  for (const double value : values) squares += (value - bucket.value) * (value - bucket.value);
  bucket.error = values.size() < 2 ? 0 : std::sqrt(squares / (n - 1) / n);
}

}  // namespace

std::vector<NoiseDistance> noise_distance(Pipeline& pipeline, const Tensor& latents, const std::vector<std::string>& own,
                                          const std::vector<std::string>& base, const DistanceOptions& options, const std::string& title) {
  const torch::NoGradGuard no_grad;
  const NoiseProcess& process = pipeline.noise_process();
  Denoiser& network = pipeline.denoiser();
  const Condition policy = encoded(pipeline, own, latents);
  const Condition reference = [&] {
    const AdaptersOff off;
    return encoded(pipeline, base, latents);
  }();
  const TimestepRange range = process.range();
  const double width = (range.last - range.first + (range.whole ? 1 : 0)) / static_cast<double>(options.buckets);
  const c10::Device device = policy["encoder_hidden_states"].device();
  Progress progress(title, options.buckets * options.draws);
  std::vector<NoiseDistance> all;
  for (int64_t bucket = 0; bucket < options.buckets; ++bucket) {
    const double low = range.first + width * static_cast<double>(bucket);
    std::vector<double> values;
    for (int64_t draw = 0; draw < options.draws; ++draw) {
      const auto number = static_cast<uint64_t>(bucket * options.draws + draw);
      const int64_t row = static_cast<int64_t>(number) % latents.size(0);
      const double drawn = Generator({options.seed, number, 0, Purpose::timestep}).uniform(low, low + width);
      const Tensor t = process.timesteps({range.whole ? std::floor(drawn) : drawn}).to(device);
      const Tensor x0 = latents.narrow(0, row, 1).to(device, torch::kFloat32);
      const Tensor noise = Generator({options.seed, number, 0, Purpose::noise}).normal(x0.sizes().vec()).to(device);
      const Tensor x_t = process.add_noise(x0, noise, t);
      const Tensor ours = process.to_epsilon(network.predict(x_t, t, policy.rows(row, 1)), x_t, t);
      const AdaptersOff off;
      const Tensor theirs = process.to_epsilon(network.predict(x_t, t, reference.rows(row, 1)), x_t, t);
      values.push_back((ours - theirs).square().mean().item<double>());
      progress.advance();
    }
    all.push_back({.t = low + width / 2});
    summarise(all.back(), values);
  }
  return all;
}

}  // namespace palate
