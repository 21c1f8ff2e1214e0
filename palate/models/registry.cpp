#include "palate/models/registry.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/json.h"
#include "palate/models/clip/clip_text.h"
#include "palate/models/unet/unet_2d_condition.h"
#include "palate/models/vae/autoencoder_kl.h"
#include "palate/models/weights.h"
#include "palate/nn/init.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

WeightNames unet_names() { return {"diffusion_pytorch_model", {}, {}}; }
WeightNames vae_names() { return {"diffusion_pytorch_model", current_vae_name, {}}; }
// transformers 5 saves a CLIPTextModel without the prefix that all before it wrote.
std::string current_clip_name(const std::string& name) {
  return name.starts_with("text_model.") || name.starts_with("text_projection.") ? name : "text_model." + name;
}
WeightNames clip_names() {
  return {"model", current_clip_name, [](const std::string& name) { return name.ends_with("position_ids"); }};
}

Json read_config(const fs::path& folder) {
  check<UsageError>(fs::is_directory(folder), folder.string(), ": expected a model component's folder, found none");
  check<UsageError>(fs::exists(folder / "config.json"), folder.string(), ": expected a config.json, found none");
  return read_json(folder / "config.json");
}

std::string class_of(const Json& config, const std::string& missing) {
  if (config.contains("_class_name")) return config["_class_name"].get<std::string>();
  if (config.contains("architectures") && config["architectures"].is_array() && !config["architectures"].empty())
    return config["architectures"][0].get<std::string>();
  return missing;
}

// The one table from class names to constructors.
std::unique_ptr<Denoiser> construct_denoiser(const Json& config, const std::string& origin) {
  const std::string name = class_of(config, "UNet2DConditionModel");
  if (name == "UNet2DConditionModel") return make_unet_2d_condition(config, origin);
  fail<UsageError>(origin, ": the class '", name, "' is not a denoiser that is supported (UNet2DConditionModel)");
}
std::unique_ptr<Autoencoder> construct_autoencoder(const Json& config, const std::string& origin) {
  const std::string name = class_of(config, "AutoencoderKL");
  if (name == "AutoencoderKL") return make_autoencoder_kl(config, origin);
  fail<UsageError>(origin, ": the class '", name, "' is not an autoencoder that is supported (AutoencoderKL)");
}
std::unique_ptr<TextEncoder> construct_text_encoder(const Json& config, const std::string& origin) {
  const std::string name = class_of(config, "CLIPTextModel");
  if (name == "CLIPTextModel" || name == "CLIPTextModelWithProjection") return make_clip_text(config, name, origin);
  fail<UsageError>(origin, ": the class '", name, "' is not a text encoder that is supported (CLIPTextModel, CLIPTextModelWithProjection)");
}

template <class Model>
std::unique_ptr<Model> with_fresh_weights(std::unique_ptr<Model> model, uint64_t seed) {
  init_weights(model->module(), seed);
  return model;
}

void save_component(const torch::nn::Module& module, const Json& config, const fs::path& folder, const WeightNames& names) {
  fs::create_directories(folder);
  write_json(folder / "config.json", config);
  save_weights(module, folder, names);
}

}  // namespace

std::vector<std::string> model_names() { return {"AutoencoderKL", "CLIPTextModel", "CLIPTextModelWithProjection", "UNet2DConditionModel"}; }

std::unique_ptr<Denoiser> load_denoiser(const fs::path& folder, const LoadOptions& options) {
  auto model = construct_denoiser(read_config(folder), (folder / "config.json").string());
  load_weights(model->module(), folder, unet_names(), options);
  return model;
}
std::unique_ptr<Autoencoder> load_autoencoder(const fs::path& folder, const LoadOptions& options) {
  auto model = construct_autoencoder(read_config(folder), (folder / "config.json").string());
  load_weights(model->module(), folder, vae_names(), options);
  return model;
}
std::unique_ptr<TextEncoder> load_text_encoder(const fs::path& folder, const LoadOptions& options) {
  auto model = construct_text_encoder(read_config(folder), (folder / "config.json").string());
  load_weights(model->module(), folder, clip_names(), options);
  return model;
}

std::unique_ptr<Denoiser> make_denoiser(const Json& config, uint64_t seed) {
  return with_fresh_weights(construct_denoiser(config, "config"), seed);
}
std::unique_ptr<Autoencoder> make_autoencoder(const Json& config, uint64_t seed) {
  return with_fresh_weights(construct_autoencoder(config, "config"), seed);
}
std::unique_ptr<TextEncoder> make_text_encoder(const Json& config, uint64_t seed) {
  auto model = with_fresh_weights(construct_text_encoder(config, "config"), seed);
  const torch::NoGradGuard no_grad;
  for (const auto& item : model->module().named_parameters()) {  // transformers: N(0, 0.02) for both embeddings
    if (item.key().find("_embedding.") != std::string::npos) item.value().mul_(0.02);
  }
  return model;
}

void save_denoiser(Denoiser& model, const fs::path& folder) { save_component(model.module(), model.config(), folder, unet_names()); }
void save_autoencoder(Autoencoder& model, const fs::path& folder) { save_component(model.module(), model.config(), folder, vae_names()); }
void save_text_encoder(TextEncoder& model, const fs::path& folder) { save_component(model.module(), model.config(), folder, clip_names()); }

}  // namespace palate
