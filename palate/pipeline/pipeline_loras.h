// LoRAs on a whole pipeline: hung on all of its parts, and two zipped on pictures that each makes itself.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "palate/adapters/lora_parts.h"
#include "palate/adapters/zip_lora.h"
#include "palate/pipeline/pipeline.h"

namespace palate {

// On the denoiser and each of its text encoders, which must not be released while the LoRAs are to take effect.
std::vector<Lora> hang_loras(Pipeline& pipeline, const std::vector<LoraChoice>& files);

// A LoRA, and the prompt that it was trained with.
struct ZipSubject {
  LoraFile lora;
  std::string prompt;
};

// What the coefficients are tuned on: pictures of each LoRA's own.
struct ZipPictures {
  int64_t count = 4, sample_steps = 25;
  uint64_t seed = 0;  // of pictures, noise and time steps
};

// zip_loras (adapters/zip_lora.h) with the pipeline's network and such pictures. What cannot be zipped is refused before any is made;
// the encoders are released.
LoraFile zip_loras(Pipeline& pipeline, const ZipSubject& content, const ZipSubject& style, const ZipOptions& options,
                   const ZipPictures& pictures, const std::function<void(int64_t step, const ZipLoss& loss)>& report = {});

}  // namespace palate
