// What palate sample was asked for; its inputs (sample_inputs.cpp) and its folder of pictures (sample_folder.cpp).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/io/manifest.h"
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

// --latents, into flags.sampling: as `palate sample --save-latents` or another program wrote them, one row a picture, used instead of the
// seed's noise; and `step_noise` [steps, N, C, H, W] for stochastic samplers, where the file has it.
void read_latents(SampleFlags& flags, size_t count);

// --embedding FILE[=NAME]: the words are known to the pipeline's tokenizers and text encoders from then on.
void read_embeddings(const std::vector<std::string>& flags, Pipeline& pipeline);

// --init-image and --mask, into flags.sampling: the picture as latents (the posterior's mean) at the size asked for or its own, cut to
// whole latents as diffusers does, and the mask, white where the picture is made anew.
void read_init_image(SampleFlags& flags, Pipeline& pipeline);

// The folder of pictures: one PNG and one line of manifest.jsonl a request, written as they are made.
class SampleFolder {
 public:
  // With --resume a folder of the same command goes on: UsageError when its manifest says other settings. `network_hash` is a key
  // of the manifest and its value: NETWORK_sha256, of the denoiser's weights.
  SampleFolder(const SampleFlags& flags, const std::vector<GenerateRequest>& requests,
               const std::pair<std::string, std::string>& network_hash);
  ~SampleFolder();
  SampleFolder(const SampleFolder&) = delete;
  SampleFolder& operator=(const SampleFolder&) = delete;

  std::vector<size_t> missing() const;              // requests without a picture
  void add(size_t request, const Tensor& picture);  // uint8 [3, H, W]

 private:
  ManifestEntry entry(size_t request) const;
  Json settings() const;
  void read_manifest();

  const SampleFlags& flags_;
  const std::vector<GenerateRequest>& requests_;
  std::pair<std::string, std::string> network_hash_;
  std::vector<bool> done_;
  bool made_ = false;  // the folder, by us
};

}  // namespace palate
