// Noise-conditioned perception: Gambashidze et al., 2406.17636, and their code; docs/objectives.md, section 2.
//
//   x' = one step of DDPM from x_t to t' = t - 1 with the prediction, and with noise z that policy, reference and truth share
//   d  = mean (f(x'(prediction)) - f(x'(target)))^2
//
// where f is the encoder of the frozen U-Net, asked at t' with the same prompt. The step is the posterior q(x' | x_t, x0_hat), DDPM's with
// fixed_small variance; at t = 0 it is no step, and d = 0. In the other variant x0_hat and eps_hat of the prediction are noised to a random
// t' instead. The step brings the inputs of f to within 0.4 to 2 % of the prediction's error, which is less than what bf16 rounds away, so
// f computes in float32 unless told otherwise.
#include "palate/objective/error_space/perceptual.h"

#include <torch/types.h>

#include <cmath>
#include <memory>

#include "palate/config/member.h"
#include "palate/core/error.h"
#include "palate/nn/adaptable.h"
#include "palate/objective/error_space.h"
#include "palate/objective/frozen_network.h"

namespace palate {
namespace {

class Perceptual : public ErrorSpace {
 public:
  using Config = PerceptualConfig;
  Perceptual(const Config& config, const SpaceSetup& setup) : config_(config), process_(setup.process), network_(setup.network) {
    for (const auto& tap : config.tap) taps_.push_back(tap == "down" ? "down_blocks" : "mid_block");
    dtype_ = config.features_dtype == "network" ? setup.load.dtype : torch::kFloat32;
    if (setup.frozen.empty()) return;
    copy_ = frozen_network(setup.frozen, setup.load);
    copy_->set_gradient_checkpointing(setup.gradient_checkpointing);
    network_ = copy_.get();
  }

  Tensor embed(const Noised& noised, const Condition& condition, const Tensor& prediction) const override {
    check(network_ != nullptr, "objective.error_space 'perceptual' is made of a network, and there is none");
    const AdaptersOff off;  // the frozen network is the policy's without its adapters
    const Tensor t = noised.features_t.defined() ? noised.features_t : before(noised.t);
    const Tensor x = noised.features_t.defined() ? noised_again(noised, prediction, t) : stepped(noised, prediction, t);
    const int64_t rows = condition.empty() ? x.size(0) : condition.fields().begin()->second.size(0);
    return joined(network_->features(x.to(dtype_), t, condition.repeat(x.size(0) / rows), taps_));
  }
  bool needs_step_noise() const override { return config_.features_timesteps == "previous"; }
  bool needs_features_t() const override { return config_.features_timesteps == "uniform"; }
  TimestepRange range(const NoiseProcess& process) const override {
    TimestepRange range = invertible(process);
    if (needs_step_noise() && range.whole) range.first += 1;  // no step leads further
    return range;
  }

 private:
  Tensor before(const Tensor& t) const { return (t - 1).clamp_min(process_.range().first).to(t.scalar_type()); }
  Tensor stepped(const Noised& noised, const Tensor& prediction, const Tensor& t) const {
    const StepMoments step = process_.step(prediction, noised.x_t, noised.t, t, 1);
    return torch::where(per_sample(t < noised.t, noised.x_t), step.mean + step.std * noised.step_noise, noised.x_t);
  }
  Tensor noised_again(const Noised& noised, const Tensor& prediction, const Tensor& t) const {
    return process_.add_noise(process_.to_x0(prediction, noised.x_t, noised.t), process_.to_epsilon(prediction, noised.x_t, noised.t), t);
  }
  // One row a sample. Of several taps each counts alike, whatever its size: the mean square of a row is the mean of theirs.
  static Tensor joined(std::vector<Tensor> features) {
    int64_t all = 0;
    for (auto& tap : features) {
      tap = tap.to(torch::kFloat32).flatten(1);
      all += tap.size(1);
    }
    if (features.size() == 1) return features[0];
    for (auto& tap : features) tap = tap * std::sqrt(static_cast<double>(all) / static_cast<double>(tap.size(1) * features.size()));
    return at::cat(features, 1);
  }

  PerceptualConfig config_;
  const NoiseProcess& process_;
  Denoiser* network_;
  std::shared_ptr<Denoiser> copy_;
  std::vector<std::string> taps_;
  c10::ScalarType dtype_;
};

}  // namespace

Member<ErrorSpace, SpaceSetup> perceptual_space() { return member<Perceptual, ErrorSpace, SpaceSetup>(); }

}  // namespace palate
