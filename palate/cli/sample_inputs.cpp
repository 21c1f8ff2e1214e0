#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/adapters/textual_inversion.h"
#include "palate/cli/flag_checks.h"
#include "palate/cli/sample_flags.h"
#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/io/image.h"
#include "palate/io/safetensors.h"

namespace palate {
namespace {

// [1, 1, H, W], 1 where it is at least half white, as diffusers binarises a mask of Pillow's mode L.
Tensor read_mask(const SampleFlags& flags) {
  Tensor mask = read_image(flags.mask);
  if (mask.size(1) != flags.sampling.height || mask.size(2) != flags.sampling.width) {
    warn(flags.mask, ": is ", mask.size(2), "x", mask.size(1), " and the picture ", flags.sampling.width, "x", flags.sampling.height,
         ": the mask is stretched to it");
    mask = resize_image(mask, flags.sampling.height, flags.sampling.width, Filter::lanczos);
  }
  const Tensor wide = mask.to(torch::kInt64),
               grey = (wide[0] * 19595 + wide[1] * 38470 + wide[2] * 7471 + 32768).bitwise_right_shift(torch::tensor(16));
  const Tensor white = (grey.to(torch::kFloat32) / 255 >= 0.5).to(torch::kFloat32);
  check<UsageError>(white.any().item<bool>(), flags.mask, ": the mask is black everywhere: paint white what is to be made anew");
  return white.unsqueeze(0).unsqueeze(0);
}

}  // namespace

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

void read_latents(SampleFlags& flags, size_t count) {
  const SafetensorsFile file(flags.latents);
  check<UsageError>(file.contains("latents"), flags.latents, ": expected a tensor named 'latents', found ",
                    file.names().size() > 8 ? concat(file.names().size(), " others") : one_of(file.names()));
  const Tensor latents = file.tensor("latents").to(torch::kFloat32);
  check<UsageError>(latents.dim() == 4 && latents.size(0) == static_cast<int64_t>(count), flags.latents, ": expected latents [", count,
                    ", C, H, W], one row a picture, found ", show_shape(latents.sizes()));
  flags.sampling.starting_noise = latents;
  if (file.contains("step_noise")) flags.sampling.step_noise = file.tensor("step_noise").to(torch::kFloat32);
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

void read_init_image(SampleFlags& flags, Pipeline& pipeline) {
  Tensor image = read_image(flags.init_image);
  const int64_t factor = pipeline.autoencoder().factor();
  const auto side = [&](int64_t asked, int64_t own) { return asked > 0 ? asked : own / factor * factor; };
  const int64_t height = side(flags.sampling.height, image.size(1)), width = side(flags.sampling.width, image.size(2));
  check<UsageError>(height > 0 && width > 0, flags.init_image, ": is smaller than one latent of ", factor,
                    " pixels: expected a larger picture, or --height and --width");
  if (height != image.size(1) || width != image.size(2)) image = resize_image(image, height, width, Filter::lanczos);
  flags.sampling.height = height;
  flags.sampling.width = width;
  flags.sampling.init_latents = pipeline.to_latents(pipeline.encode_images(image.unsqueeze(0)), {});
  if (flags.mask.empty()) return;
  const Tensor mask = read_mask(flags);
  flags.sampling.mask = mask.slice(2, 0, std::nullopt, factor).slice(3, 0, std::nullopt, factor).contiguous();
  if (pipeline.takes_mask()) flags.sampling.masked_latents = pipeline.to_latents(pipeline.encode_images(image.unsqueeze(0), 1 - mask), {});
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
