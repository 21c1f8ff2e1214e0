#include "palate/personalize/personalised_model.h"

#include <torch/types.h>

#include <algorithm>

#include "palate/adapters/textual_inversion.h"
#include "palate/core/device.h"
#include "palate/core/generator.h"
#include "palate/core/log.h"
#include "palate/io/image.h"
#include "palate/pipeline/pipeline_loras.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

// The middle of the picture, resized so that its shorter side fits.
Tensor squared(const Tensor& picture, int64_t side) {
  const double scale = static_cast<double>(side) / static_cast<double>(std::min(picture.size(1), picture.size(2)));
  const auto resized = [&](int64_t length) {
    return std::max(side, static_cast<int64_t>(std::lround(static_cast<double>(length) * scale)));
  };
  const int64_t height = resized(picture.size(1)), width = resized(picture.size(2));
  const Tensor whole =
      height == picture.size(1) && width == picture.size(2) ? picture : resize_image(picture, height, width, Filter::bilinear);
  return whole.narrow(1, (height - side) / 2, side).narrow(2, (width - side) / 2, side).contiguous();
}

}  // namespace

PersonalisedModel::PersonalisedModel(const std::string& model, const RunConfig& config, const std::vector<fs::path>& runs)
    : pipeline_(model, {.dtype = parse_dtype(config.train.dtype), .device = parse_device(config.device), .variant = config.variant}),
      resolution_(config.data.resolution > 0 ? config.data.resolution : pipeline_.sample_size() * pipeline_.factor()) {
  pipeline_.prompt_encoder().keep(true);  // adapters and words are on these
  std::vector<fs::path> files;
  for (const fs::path& run : runs) {
    files.push_back(run / "pytorch_lora_weights.safetensors");
    const fs::path embedding = run / "learned_embeds.safetensors";
    if (!fs::exists(embedding)) continue;
    const TextualInversion word = read_textual_inversion(embedding);
    pipeline_.prompt_encoder().add_word(config.text.word.empty() ? word.token : config.text.word, word.vectors);
  }
  hang(files);
}

void PersonalisedModel::hang(const std::vector<fs::path>& files) {
  for (Lora& lora : loras_) lora.remove();
  std::vector<LoraChoice> choices;
  for (const fs::path& file : files) choices.push_back({file});
  loras_ = hang_loras(pipeline_, choices);
}

Tensor PersonalisedModel::latents_of(const std::vector<Tensor>& pictures) {
  std::vector<Tensor> all;
  for (const Tensor& picture : pictures)
    all.push_back(pipeline_.to_latents(pipeline_.encode_images(squared(picture, resolution_).unsqueeze(0)), {}).cpu());
  return torch::cat(all);
}

std::vector<NoiseDistance> PersonalisedModel::distance_on(const Given& given, const DistanceOptions& options) {
  std::vector<std::string> base;
  for (const auto& caption : given.captions) base.push_back(given.concept_.base(caption));
  return noise_distance(pipeline_, latents_of(given.pictures), given.captions, base, options, "noise distance on the given pictures");
}

std::vector<NoiseDistance> PersonalisedModel::distance_on(const Column& column, const Concept& concept_, const DistanceOptions& options) {
  std::vector<Tensor> pictures;
  for (size_t i = 0; i < column.pictures.entries.size(); ++i) pictures.push_back(read_image(column.pictures.file(i)));
  // Of a style the words that name it are left out: what it does to pictures that nobody wanted in it.
  std::vector<std::string> prompts;
  for (const auto& entry : column.pictures.entries) prompts.push_back(concept_.judged(entry.prompt));
  return noise_distance(pipeline_, latents_of(pictures), prompts, prompts, options, "noise distance on the base's pictures");
}

Given given_pictures(const Concept& concept_, const std::vector<Captioned>& captions) {
  Given given{.concept_ = concept_, .pictures = {}, .captions = {}};
  for (const Captioned& it : captions) {
    given.pictures.push_back(read_image(it.picture));
    given.captions.push_back(it.caption);
  }
  return given;
}

GenerateOptions sampling_of(const RunConfig& config) {
  GenerateOptions options;
  options.steps = config.sample.steps;
  options.guidance_scale = config.sample.guidance_scale;
  options.sampler = config.sample.sampler;
  options.seed = mix(stable_hash("personalize"), static_cast<uint64_t>(config.seed));
  if (config.data.resolution > 0) options.height = options.width = config.data.resolution;
  return options;
}

std::string caution_of(const Likeness* judge) {
  if (judge) return "The judge is the embedded world's oracle: it counts what is in the pictures, and is no person's eye.";
  return "No judge of image and text similarity is there for this model (palate list judges): look at the pictures; the noise distance is "
         "measured.";
}

}  // namespace palate
