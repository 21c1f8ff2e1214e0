// What palate sample was asked for; and its inputs (sample_inputs.cpp).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "palate/io/json.h"
#include "palate/pipeline/pipeline.h"

namespace palate {

struct SampleFlags {
  std::string model, variant, prompts_file, out, latents, save_latents, init_image, mask, guidance = "cfg", dtype = "float32",
                                                                                          device = "cpu";
  double reward_weight = 3;
  std::vector<std::string> prompts, lora, embeddings;
  GenerateOptions sampling;
  PromptStyle style;
  int64_t count = 1, threads = 0;
  bool tiling = false, resume = false;
};

std::vector<std::string> read_prompts(const SampleFlags& flags);

// --embedding FILE[=NAME]: the words are known to the pipeline's tokenizers and text encoders from then on.
void read_embeddings(const std::vector<std::string>& flags, Pipeline& pipeline);

// How every picture of the command is made, for the manifest and for --resume. `network_hash`: a key of the manifest and its value,
// NETWORK_sha256 of the denoiser's weights.
Json settings_of(const SampleFlags& flags, const std::pair<std::string, std::string>& network_hash);

}  // namespace palate
