#include "palate/models/registry.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/json.h"
#include "palate/models/clip/clip_model.h"
#include "palate/models/clip/clip_text.h"
#include "palate/models/clip/clip_vision.h"
#include "palate/models/unet/unet_2d_condition.h"
#include "palate/models/vae/autoencoder_kl.h"
#include "palate/models/weights.h"
#include "palate/nn/init.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

// A class of models: what its configs call it, how it is built, and what its weights are called.
template <class Model>
struct Line {
  const char* class_name;
  std::unique_ptr<Model> (*make)(const Json& config, const std::string& class_name, const std::string& origin);
  WeightNames weights;
  void (*adjust)(torch::nn::Module&) = nullptr;  // fresh weights, where the reference library's differ from init_weights()
};

template <class Model>
struct Table {
  const char* kind;                // for the message
  std::vector<Line<Model>> lines;  // the first is meant where a config names no class
};

// A constructor that does not ask for the class.
template <auto construct>
auto plain(const Json& config, const std::string&, const std::string& origin) {
  return construct(config, origin);
}

const char* const diffusers_file = "diffusion_pytorch_model";
const char* const transformers_file = "model";

const Table<Denoiser>& denoisers() {
  static const Table<Denoiser> table = {"a denoiser", {{"UNet2DConditionModel", plain<make_unet_2d_condition>, {diffusers_file, {}, {}}}}};
  return table;
}

const Table<Autoencoder>& autoencoders() {
  static const Table<Autoencoder> table = {"an autoencoder",
                                           {{"AutoencoderKL", plain<make_autoencoder_kl>, {diffusers_file, current_vae_name, {}}}}};
  return table;
}

const Table<TextEncoder>& text_encoders() {
  static const WeightNames clip = {transformers_file, current_clip_name, is_clip_buffer};
  static const Table<TextEncoder> table = {"a text encoder",
                                           {{"CLIPTextModel", make_clip_text, clip, scale_clip_embeddings},
                                            {"CLIPTextModelWithProjection", make_clip_text, clip, scale_clip_embeddings}}};
  return table;
}

const Table<VisionEncoder>& vision_encoders() {
  static const WeightNames clip = {transformers_file, current_clip_vision_name, is_clip_buffer};
  static const Table<VisionEncoder> table = {
      "a vision encoder", {{"CLIPVisionModel", make_clip_vision, clip}, {"CLIPVisionModelWithProjection", make_clip_vision, clip}}};
  return table;
}

std::unique_ptr<ClipModel> construct_clip(const Json& config, const std::string& origin) {
  return std::make_unique<ClipModel>(config, origin);
}

const Table<ClipModel>& clip_models() {
  static const Table<ClipModel> table = {"a model of text and pictures",
                                         {{"CLIPModel", plain<construct_clip>, {transformers_file, {}, is_clip_buffer}}}};
  return table;
}

Json read_config(const fs::path& folder) {
  check<UsageError>(fs::is_directory(folder), folder.string(), ": expected a model component's folder, found none");
  check<UsageError>(fs::exists(folder / "config.json"), folder.string(), ": expected a config.json, found none");
  return read_json(folder / "config.json");
}

template <class Model>
std::vector<std::string> names_of(const Table<Model>& table) {
  std::vector<std::string> names;
  for (const auto& line : table.lines) names.emplace_back(line.class_name);
  return names;
}

// By diffusers' `_class_name` or transformers' `architectures`.
template <class Model>
const Line<Model>& line_for(const Table<Model>& table, const Json& config, const std::string& origin) {
  std::string name = table.lines.front().class_name;
  if (config.contains("_class_name"))
    name = config["_class_name"].get<std::string>();
  else if (config.contains("architectures") && config["architectures"].is_array() && !config["architectures"].empty())
    name = config["architectures"][0].get<std::string>();
  for (const auto& line : table.lines) {
    if (name == line.class_name) return line;
  }
  fail<UsageError>(origin, ": the class '", name, "' is not ", table.kind, " that is supported (", one_of(names_of(table)), ")");
}

template <class Model>
std::unique_ptr<Model> load(const Table<Model>& table, const fs::path& folder, const LoadOptions& options) {
  const Json config = read_config(folder);
  const std::string origin = (folder / "config.json").string();
  const auto& line = line_for(table, config, origin);
  auto model = line.make(config, line.class_name, origin);
  load_weights(model->module(), folder, line.weights, options);
  return model;
}

template <class Model>
std::unique_ptr<Model> arranged(std::unique_ptr<Model> model, const LoadOptions& options) {
  if (!options.will_train) model->arrange_weights();
  return model;
}

template <class Model>
std::unique_ptr<Model> make(const Table<Model>& table, const Json& config, uint64_t seed) {
  const auto& line = line_for(table, config, "config");
  auto model = line.make(config, line.class_name, "config");
  init_weights(model->module(), seed);
  if (line.adjust) line.adjust(model->module());
  return model;
}

template <class Model>
void save(const Table<Model>& table, Model& model, const fs::path& folder) {
  fs::create_directories(folder);
  write_json(folder / "config.json", model.config());
  save_weights(model.module(), folder, line_for(table, model.config(), "config").weights);
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& some :
       {names_of(denoisers()), names_of(autoencoders()), names_of(text_encoders()), names_of(vision_encoders()), names_of(clip_models())})
    names.insert(names.end(), some.begin(), some.end());
  std::sort(names.begin(), names.end());
  return names;
}

std::unique_ptr<Denoiser> load_denoiser(const fs::path& folder, const LoadOptions& options) {
  return arranged(load(denoisers(), folder, options), options);
}
std::unique_ptr<Autoencoder> load_autoencoder(const fs::path& folder, const LoadOptions& options) {
  return arranged(load(autoencoders(), folder, options), options);
}
std::unique_ptr<TextEncoder> load_text_encoder(const fs::path& folder, const LoadOptions& options) {
  return load(text_encoders(), folder, options);
}
std::unique_ptr<VisionEncoder> load_vision_encoder(const fs::path& folder, const LoadOptions& options) {
  return load(vision_encoders(), folder, options);
}
std::unique_ptr<ClipModel> load_clip_model(const fs::path& folder, const LoadOptions& options) {
  return load(clip_models(), folder, options);
}

std::unique_ptr<Denoiser> make_denoiser(const Json& config, uint64_t seed) { return make(denoisers(), config, seed); }
std::unique_ptr<Autoencoder> make_autoencoder(const Json& config, uint64_t seed) { return make(autoencoders(), config, seed); }
std::unique_ptr<TextEncoder> make_text_encoder(const Json& config, uint64_t seed) { return make(text_encoders(), config, seed); }
std::unique_ptr<ClipModel> make_clip_model(const Json& config, uint64_t seed) {
  const auto& line = line_for(clip_models(), config, "config");
  auto model = line.make(config, line.class_name, "config");
  draw_clip_weights(model->module(), config.value("logit_scale_init_value", 2.6592), seed);
  return model;
}

void save_denoiser(Denoiser& model, const fs::path& folder) { save(denoisers(), model, folder); }
void save_autoencoder(Autoencoder& model, const fs::path& folder) { save(autoencoders(), model, folder); }
void save_text_encoder(TextEncoder& model, const fs::path& folder) { save(text_encoders(), model, folder); }
void save_clip_model(ClipModel& model, const fs::path& folder) { save(clip_models(), model, folder); }

}  // namespace palate
