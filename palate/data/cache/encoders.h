// What a cache is built with: pictures to latents, prompts to text states.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "palate/models/autoencoder.h"
#include "palate/models/denoiser.h"

namespace palate {

class Pipeline;

class Encoders {
 public:
  virtual ~Encoders() = default;
  // Everything about the encoders that the cached values depend on, as text for a hash. Loads no encoder.
  virtual std::string identity() = 0;
  virtual int64_t sample_size() = 0;  // latent side that the model was made for
  virtual int64_t factor() = 0;       // pixels per latent along one side
  virtual double scaling_factor() = 0;
  virtual Posterior images(const Tensor& pixels) = 0;  // uint8 [B, 3, side, side]
  virtual bool takes_time_ids() { return false; }      // SDXL: pairs are cached with their micro-conditioning
  virtual Condition prompts(const std::vector<std::string>& prompts) = 0;
};

std::unique_ptr<Encoders> pipeline_encoders(Pipeline& pipeline);

}  // namespace palate
