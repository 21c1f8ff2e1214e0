// A base model as a folder in diffusers' layout, and what the oracle says of such a folder's pictures.
#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/judge/judge.h"
#include "palate/pipeline/model_folder.h"
#include "palate/pipeline/requests.h"
#include "palate/pretrain/stages.h"
#include "palate/pretrain/tokenizer_files.h"
#include "palate/world/prompts.h"

namespace palate::world {
namespace fs = std::filesystem;
namespace {

Json model_index() {
  const Json none = {nullptr, nullptr};
  return {{"_class_name", "StableDiffusionPipeline"},
          {"_diffusers_version", "0.30.0"},
          {"feature_extractor", none},
          {"requires_safety_checker", false},
          {"safety_checker", none},
          {"scheduler", {"diffusers", "DDIMScheduler"}},
          {"text_encoder", {"transformers", "CLIPTextModel"}},
          {"tokenizer", {"transformers", "CLIPTokenizer"}},
          {unet_component, {"diffusers", "UNet2DConditionModel"}},
          {"vae", {"diffusers", "AutoencoderKL"}}};
}

void evaluate_kind(Pipeline& pipeline, const std::string& name, Kind kind, int64_t count, const EvaluationConfig& config, uint64_t seed,
                   std::map<std::string, double>& into) {
  const auto requests = paired_requests(prompts(Split::development, kind, count, seed), config.pictures);
  GenerateOptions options;
  options.steps = config.steps;
  options.guidance_scale = config.guidance_scale;
  options.seed = seed;
  options.batch = 48;
  const Scores scores = make_judge("oracle")->score(pipeline.generate(requests, options), prompts_of(requests));
  into[name + "/reward"] = scores.total.mean().item<double>();
  for (const auto& [part, values] : scores.parts) {
    const double mean = values.nanmean().item<double>();
    if (std::isfinite(mean)) into[name + "/" + part] = mean;  // a relation is asked of two objects only
  }
}

}  // namespace

void write_base(const fs::path& folder, Denoiser& denoiser, TextEncoder& text, const fs::path& vae_folder) {
  fs::create_directories(folder / "scheduler");
  fs::create_directories(folder / "vae");
  save_denoiser(denoiser, folder / unet_component);
  save_text_encoder(text, folder / "text_encoder");
  for (const char* file : {"config.json", "diffusion_pytorch_model.safetensors"}) {
    fs::copy_file(vae_folder / file, folder / "vae" / file, fs::copy_options::overwrite_existing);
  }
  write_tokenizer(folder / "tokenizer");
  write_json(folder / "scheduler" / "scheduler_config.json", scheduler_config());
  write_json(folder / "model_index.json", model_index());
}

std::map<std::string, double> evaluate_base(const fs::path& folder, const EvaluationConfig& config, uint64_t seed) {
  Pipeline pipeline(folder);
  std::map<std::string, double> measured;
  evaluate_kind(pipeline, "single", Kind::single, config.single, config, seed, measured);
  evaluate_kind(pipeline, "two", Kind::two, config.two, config, seed, measured);
  return measured;
}

}  // namespace palate::world
