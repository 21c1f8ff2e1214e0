// A model folder as one object: prompt in, text states out; picture in, latents out; and back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "palate/diffusion/sampler.h"
#include "palate/diffusion/schedule.h"
#include "palate/models/registry.h"
#include "palate/text/clip_tokenizer.h"

namespace palate {

struct GenerateOptions {
  int64_t steps = 25;
  double guidance_scale = 7.5;
  double guidance_rescale = 0;
  std::string sampler;        // "" takes the folder's own scheduler
  std::string negative;       // negative prompt
  uint64_t seed = 0;
  int64_t batch = 8;          // pictures at once; changes no picture but for rounding
  int64_t height = 0, width = 0;  // in pixels; 0: what the model was made for
  std::string title = "sampling"; // of the progress bar
  Tensor starting_noise;          // [N, C, h, w], one row a request, instead of the noise that the seed gives; undefined: the seed's
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
  Autoencoder& autoencoder();    // held in float32 unless the options say otherwise
  TextEncoder& text_encoder();
  const ClipTokenizer& tokenizer();
  const Json& scheduler_config() const;
  const NoiseSchedule& schedule() const;
  void release_encoders();       // frees autoencoder and text encoder
  std::string weights_hash(const std::string& component);  // SHA-256 over the component's config and weight files

  // No gradients. Text states in the options' dtype [B, L, D].
  Condition encode_prompts(const std::vector<std::string>& prompts);
  Posterior encode_images(const Tensor& images);               // uint8 [B, 3, H, W]
  Tensor to_latents(const Posterior& posterior, const Tensor& noise) const;  // (mean + std * noise) * scaling_factor; undefined noise: the mean
  Tensor decode(const Tensor& latents);                        // -> float32 [B, 3, H, W] in [0, 1]

  Tensor starting_noise(const GenerateRequest& request, const GenerateOptions& options) const;  // [1, C, h, w]
  Tensor generate_latents(const std::vector<GenerateRequest>& requests, const GenerateOptions& options);
  // uint8 [B, 3, H, W], in the order of the requests.
  Tensor generate(const std::vector<GenerateRequest>& requests, const GenerateOptions& options);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace palate
