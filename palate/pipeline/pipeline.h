// A model folder as one object: prompt in, text states out; picture in, latents out; and back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "palate/diffusion/sampler.h"
#include "palate/diffusion/schedule.h"
#include "palate/models/registry.h"
#include "palate/pipeline/prompt_encoder.h"

namespace palate {

// SDXL's micro-conditioning, in pixels: the size of the picture before it was resized, where the crop lies in the resized one, and the
// crop's size. In generation: (H, W), (0, 0), (H, W).
struct MicroConditioning {
  int64_t original_height = 0, original_width = 0, crop_top = 0, crop_left = 0, target_height = 0, target_width = 0;
};

// How many pictures of so many pixels go through an autoencoder together: one large, or a few small. At full size its activations are the
// memory peak of a run.
int64_t pictures_at_once(int64_t pixels);

struct GenerateOptions {
  int64_t steps = 25;
  double guidance_scale = 7.5;
  double guidance_rescale = 0;
  std::string sampler;                  // "" takes the folder's own scheduler
  std::string negative;                 // negative prompt
  std::optional<double> reward_weight;  // reward guidance (SampleOptions): the model's adapters against the model without them
  std::string base_prompt;              // what the model without adapters is asked for; "": the prompt itself
  Tensor mask;            // inpainting: [1, 1, ...] in latents, 1 where init_latents are made anew; undefined: everywhere, as strength says
  Tensor masked_latents;  // [1, C, ...] of the picture with grey in the mask: what an inpainting model is given (takes_mask), with the mask
  Tensor init_latents;    // SDEdit: [1 or N, C, ...] as encode_images and to_latents give them; undefined: from noise alone
  double strength = 0.8;  // of SDEdit: the share of the steps that is made, in (0, 1]
  uint64_t seed = 0;
  int64_t batch = 8;               // pictures at once; changes no picture but for rounding
  int64_t height = 0, width = 0;   // in pixels; 0: what the model was made for
  std::string title = "sampling";  // of the progress bar
  Tensor step_noise;      // [steps, N, C, ...]: what stochastic samplers add at each step, instead of the seed's; undefined: the seed's
  Tensor starting_noise;  // [N, C, ...], one row a request, instead of the noise that the seed gives; undefined: the seed's
};

// One picture to make. Its starting noise is keyed by (options.seed, id), so base and aligned model share it.
struct GenerateRequest {
  std::string prompt;
  uint64_t id = 0;
};

class Pipeline {
 public:
  // FOLDER holds model_index.json and the components' folders. Encoders are loaded at first use, so a run whose
  // latents and text states are cached never holds them. UsageError when it is not a model folder.
  explicit Pipeline(std::filesystem::path folder, LoadOptions options = {});
  ~Pipeline();

  const std::filesystem::path& folder() const;
  Denoiser& denoiser();
  Autoencoder& autoencoder();  // held in float32, whatever the options say: in half precision SDXL's overflows
  PromptEncoder& prompt_encoder();
  const std::string& denoiser_component() const;  // "unet" or "transformer": ModelFolder::denoiser_component()
  std::filesystem::path denoiser_folder() const;
  const Json& denoiser_config() const;  // without loading the network
  int64_t sample_size() const;          // side of the latents that the model was made for, likewise
  int64_t latent_channels() const;      // Denoiser::latent_channels(), likewise
  int64_t factor() const;               // Autoencoder::factor(), likewise
  int64_t extra_channels() const;  // in_channels() of the network less those: 0 but for models made for inpainting, editing or upscaling
  bool takes_mask() const;         // made for inpainting: they are the mask and the masked picture's latents
  c10::ScalarType dtype() const;   // of weights and text states
  const Json& scheduler_config() const;
  const NoiseProcess& noise_process() const;  // of scheduler_config()
  const NoiseSchedule& schedule() const;      // the same as a table of variances. UsageError where it is a rectified flow
  void set_tiling(bool on);  // encode_images and decode work in tiles (pipeline/tiling.h) of the size that the autoencoder was made for
  void release_encoders();   // frees autoencoder and text encoder
  std::string weights_hash(const std::string& component);  // SHA-256 over the component's config and weight files

  // No gradients. Text states in the options' dtype [B, L, D], for SDXL also text_embeds [B, P]; time_ids are the caller's to add.
  Condition encode_prompts(const std::vector<std::string>& prompts, int64_t text_rows = 1);
  Condition encode_nothing(
      int64_t rows, int64_t text_rows = 1);  // no prompt: zeros where the folder says force_zeros_for_empty_prompt, else the states of ""
  bool takes_time_ids() const;               // SDXL's text_time conditioning
  Tensor time_ids(const MicroConditioning& micro) const;  // float32 [1, 6]
  Tensor time_ids(const Tensor& latents);  // [B, 6] of latents [B, C, ..., h, w] in generation: an uncropped picture of this size, as
                                           // diffusers' default is
  // uint8 [B, 3, H, W]; where `keep` [1, 1, H, W] is given and 0, the picture is grey, as inpainting models get what they do not see.
  Posterior encode_images(const Tensor& images, const Tensor& keep = {});
  Tensor to_latents(const Posterior& posterior,
                    const Tensor& noise) const;  // (mean + std * noise) * scaling_factor; undefined noise: the mean
  Tensor decode(const Tensor& latents);          // -> float32 [B, 3, H, W] in [0, 1]

  Tensor starting_noise(const GenerateRequest& request, const GenerateOptions& options) const;  // [1, C, h, w]
  // Batch by batch: `take` gets the index of the batch's first request and its latents. A batch ends early where a long prompt
  // (PromptStyle::chunks) needs another number of rows than the next one, so that no picture depends on its neighbours.
  void generate_each(const std::vector<GenerateRequest>& requests, const GenerateOptions& options,
                     const std::function<void(size_t first, const Tensor& latents)>& take);
  Tensor generate_latents(const std::vector<GenerateRequest>& requests, const GenerateOptions& options);
  // uint8 [B, 3, H, W], in the order of the requests.
  Tensor generate(const std::vector<GenerateRequest>& requests, const GenerateOptions& options);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace palate
