#include <nlohmann/json.hpp>

#include "palate/adapters/textual_inversion.h"
#include "palate/cli/sample_flags.h"
#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/io/prompt_file.h"

namespace palate {

std::vector<std::string> read_prompts(const SampleFlags& flags) {
  std::vector<std::string> prompts = flags.prompts;
  if (!flags.prompts_file.empty()) {
    const auto more = read_prompt_file(flags.prompts_file);
    prompts.insert(prompts.end(), more.begin(), more.end());
  }
  for (const auto& prompt : prompts) check<UsageError>(!prompt.empty(), "--prompt is empty: expected what to draw");
  check<UsageError>(!prompts.empty(), "sample needs --prompt TEXT, or --prompts FILE with one prompt a line");
  return prompts;
}

void read_embeddings(const std::vector<std::string>& flags, Pipeline& pipeline) {
  for (const auto& flag : flags) {
    const size_t equals = std::filesystem::exists(flag) ? std::string::npos : flag.rfind('=');
    const TextualInversion read = read_textual_inversion(flag.substr(0, equals));
    const std::string word = equals == std::string::npos ? read.token : flag.substr(equals + 1);
    pipeline.prompt_encoder().add_word(word, read.vectors);
    log_info("the word ", word, " stands for ", read.vectors.begin()->second.size(0),
             read.vectors.begin()->second.size(0) == 1 ? " vector" : " vectors", " of ", flag.substr(0, equals));
  }
}

Json settings_of(const SampleFlags& flags, const std::pair<std::string, std::string>& network_hash) {
  const GenerateOptions& s = flags.sampling;
  return {{"model", flags.model},
          {network_hash.first, network_hash.second},
          {"lora", flags.lora},
          {"embeddings", flags.embeddings},
          {"negative_prompt", s.negative},
          {"prompt_weights", flags.style.weights},
          {"long_prompts", flags.style.chunks},
          {"scheduler", s.sampler},
          {"steps", s.steps},
          {"guidance_scale", s.guidance_scale},
          {"guidance_rescale", s.guidance_rescale},
          {"guidance", flags.guidance},
          {"reward_weight", s.reward_weight.value_or(0)},
          {"base_prompt", s.base_prompt},
          {"init_image", flags.init_image},
          {"mask", flags.mask},
          {"strength", flags.init_image.empty() ? 1 : s.strength},
          {"height", s.height},
          {"width", s.width},
          {"vae_tiling", flags.tiling},
          {"latents", flags.latents},
          {"dtype", flags.dtype}};
}

}  // namespace palate
