// Samplers: one step of the reverse process at a time, equal to diffusers' schedulers.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/io/json.h"
#include "palate/models/denoiser.h"

namespace palate {

// What a stochastic step draws from: a normal distribution around `mean` [B, ...], with one deviation for all elements.
struct Transition {
  Tensor mean;  // float32
  Tensor std;   // [], float32, above 0
};

class Sampler {
 public:
  virtual ~Sampler() = default;
  virtual void set_timesteps(int64_t count) = 0;
  virtual const Tensor& timesteps() const = 0;  // [evaluations], what the network is told (int64 or float32)
  virtual double init_noise_sigma() const = 0;
  virtual Tensor scale_model_input(const Tensor& x, int64_t index) const = 0;
  // One step from timesteps()[index]. `noise` (unit variance, shape of x) is used by stochastic samplers only. The first
  // step after set_timesteps may be at any index (diffusers' set_begin_index: a picture that is edited starts late); from
  // there samplers with a memory want every index in turn.
  virtual Tensor step(const Tensor& predicted, int64_t index, const Tensor& x, const Tensor& noise) = 0;
  virtual bool stochastic() const = 0;
  // What that step draws from: step() is mean + std * noise, to the bit. Gradients reach `predicted` and x. None where the step adds no
  // noise, and for samplers with a memory, whose steps are no Markov chain.
  virtual std::optional<Transition> transition(const Tensor& predicted, int64_t index, const Tensor& x) const;
  // What x is before step `index`, made from a clean latent and unit-variance noise of its shape: float32, in the scale
  // of the sampler (starting noise times init_noise_sigma() is the other way to begin).
  virtual Tensor add_noise(const Tensor& clean, const Tensor& noise, int64_t index) const = 0;
  // Evaluations for a step that set_timesteps counts: diffusers' img2img starts at index (steps left out) * order().
  virtual int64_t order() const { return 1; }
};

// A name of sampler_names() or diffusers' class name; or "" for the one that the config's `_class_name` names. UsageError
// for any other. A short name sets the options that it says (dpm++_2m_karras: algorithm_type, solver_order and
// use_karras_sigmas) and keeps the rest of the config, as diffusers' from_config does.
std::unique_ptr<Sampler> make_sampler(const std::string& name, const Json& scheduler_config);
std::vector<std::string> sampler_names();

struct SampleOptions {
  double guidance_scale = 7.5;  // 1 or less: no guidance, one evaluation a step
  double guidance_rescale = 0;  // diffusers' rescale_noise_cfg; 0 is off
  // Reward guidance (Direct Consistency Optimization): on `base` with the adapters off, guided as above, the adapted model's change is
  // added so many times: e(base, none) + guidance_scale (e(base, base) - e(base, none)) + weight (e(adapted, positive) - e(base, base)).
  std::optional<double> reward_weight;
  Condition base;
  // SDEdit: from this clean latent [B, C, ...], noised for step `begin`; undefined: from noise alone and the first step.
  Tensor clean;
  int64_t begin = 0;
  // Inpainting: [1 or B, 1, ...], 1 where the picture is made anew; elsewhere it is `clean` (noised as each step asks) throughout. From
  // step 0 it starts at noise alone, as diffusers' inpainting does at strength 1.
  Tensor mask;
  // [1 or B, C', ...] in float32: channels that the network is given behind those of the scaled latents (an inpainting U-Net: the mask,
  // and the masked picture's latents); undefined: none.
  Tensor extra;
  // Noise for sample b at step i of a stochastic sampler, [1, C, ...]; keyed by image, so equal for any batch size.
  std::function<Tensor(int64_t sample, int64_t step)> noise;
  std::function<void(int64_t step)> on_step;
  // Each step as it was taken: x before it, the guided prediction, and what came of them, before a mask puts the picture back.
  std::function<void(int64_t step, const Tensor& x, const Tensor& predicted, const Tensor& next)> on_transition;
};

// What sample_latents makes step `index` from: the network's prediction for x [B, C, ...] with the options' guidance, in float32. Gradients
// reach x and the network, so a trajectory's steps can be trained on.
Tensor guided_prediction(Denoiser& denoiser, const Sampler& sampler, const Tensor& x, int64_t index, const Condition& positive,
                         const Condition& negative, const SampleOptions& options);

// From unit-variance noise [B, C, ...] to latents, without gradients. `negative` is the unconditional branch.
Tensor sample_latents(Denoiser& denoiser, Sampler& sampler, const Tensor& starting_noise, const Condition& positive,
                      const Condition& negative, const SampleOptions& options);

}  // namespace palate
