#include "palate/cli/bench_models.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "palate/core/generator.h"
#include "palate/hub/model_path.h"
#include "palate/models/clip/clip_text.h"
#include "palate/models/registry.h"
#include "palate/models/unet/unet_2d_condition.h"
#include "palate/models/vae/autoencoder_kl.h"
#include "palate/pipeline/model_folder.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

// The configs of the models that are made in memory; what is not named takes the class default.
const std::map<std::string, Json>& unets() {
  static const std::map<std::string, Json> configs = {
      {"sd15", {{"sample_size", 64}, {"cross_attention_dim", 768}, {"attention_head_dim", 8}}},
      {"sd21",
       {{"sample_size", 64},
        {"cross_attention_dim", 1024},
        {"attention_head_dim", {5, 10, 20, 20}},
        {"use_linear_projection", true},
        {"upcast_attention", true}}},
      {"sdxl",
       {{"sample_size", 128},
        {"block_out_channels", {320, 640, 1280}},
        {"cross_attention_dim", 2048},
        {"down_block_types", {"DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"}},
        {"up_block_types", {"CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"}},
        {"attention_head_dim", {5, 10, 20}},
        {"transformer_layers_per_block", {1, 2, 10}},
        {"use_linear_projection", true},
        {"addition_embed_type", "text_time"},
        {"addition_time_embed_dim", 256},
        {"projection_class_embeddings_input_dim", 2816}}},
  };
  return configs;
}
bool in_memory(const std::string& model) { return unets().contains(model); }

const Json& sd15_vae() {
  static const Json config = {{"block_out_channels", {128, 256, 512, 512}},
                              {"down_block_types", std::vector<std::string>(4, "DownEncoderBlock2D")},
                              {"up_block_types", std::vector<std::string>(4, "UpDecoderBlock2D")},
                              {"layers_per_block", 2},
                              {"latent_channels", 4},
                              {"sample_size", 512}};
  return config;
}
const Json& sd15_text() {
  static const Json config = {
      {"hidden_size", 768}, {"intermediate_size", 3072}, {"num_hidden_layers", 12}, {"num_attention_heads", 12}, {"projection_dim", 768}};
  return config;
}

// A model is built with memory that nobody touched; each parameter is replaced before the next is, so that the float32
// weights never take a page.
void fill(torch::nn::Module& model, c10::ScalarType dtype) {
  const torch::NoGradGuard no_grad;
  constexpr int64_t period = 65537;  // prime: rows of a matrix differ
  const Tensor pattern =
      Generator({.seed = 0, .sample = 0, .draw = 0, .purpose = Purpose::init}).uniform({period}).mul_(2).sub_(1).to(dtype);
  for (auto& item : model.named_parameters()) {
    Tensor& parameter = item.value();
    Tensor value = torch::empty(parameter.sizes(), torch::TensorOptions().dtype(dtype));
    if (value.dim() == 1) {
      value.fill_(item.key().ends_with(".weight") ? 1 : 0);
    } else {
      Tensor flat = value.view(-1);
      const double bound = 1 / std::sqrt(static_cast<double>(value.numel() / value.size(0)));
      for (int64_t at = 0; at < flat.numel(); at += period) {
        const int64_t count = std::min(period, flat.numel() - at);
        flat.narrow(0, at, count).copy_(pattern.narrow(0, 0, count)).mul_(bound);
      }
    }
    parameter.set_data(value);
    parameter.set_requires_grad(false);
  }
}

template <class Model>
std::unique_ptr<Model> filled(std::unique_ptr<Model> model, c10::ScalarType dtype) {
  fill(model->module(), dtype);
  return model;
}

template <class Model>
std::unique_ptr<Model> on(c10::Device device, std::unique_ptr<Model> model) {
  if (!device.is_cpu()) model->module().to(device);
  if constexpr (requires { model->arrange_weights(); }) model->arrange_weights();
  return model;
}

LoadOptions in(c10::ScalarType dtype, c10::Device device) { return {.dtype = dtype, .device = device, .variant = ""}; }

}  // namespace

std::unique_ptr<Denoiser> bench_denoiser(const std::string& model, c10::ScalarType dtype, c10::Device device) {
  return on(device, in_memory(model) ? filled(make_unet_2d_condition(unets().at(model), model), dtype)
                                     : load_denoiser(ModelFolder(model_path(model)).component(unet_component), in(dtype, device)));
}

std::unique_ptr<Autoencoder> bench_autoencoder(const std::string& model, c10::ScalarType dtype, c10::Device device) {
  return on(device, in_memory(model) ? filled(make_autoencoder_kl(sd15_vae(), "sd15"), dtype)
                                     : load_autoencoder(model_path(model) / "vae", in(dtype, device)));
}

std::unique_ptr<TextEncoder> bench_text_encoder(const std::string& model, c10::ScalarType dtype, c10::Device device) {
  return on(device, in_memory(model) ? filled(make_clip_text(sd15_text(), "CLIPTextModel", "sd15"), dtype)
                                     : load_text_encoder(model_path(model) / "text_encoder", in(dtype, device)));
}

Json bench_scheduler(const std::string& model) {
  if (in_memory(model))
    return {{"_class_name", "DDIMScheduler"}, {"beta_start", 0.00085}, {"beta_end", 0.012}, {"beta_schedule", "scaled_linear"}};
  return read_json(model_path(model) / "scheduler" / "scheduler_config.json");
}

Json bench_unet_config(const std::string& model) {
  return in_memory(model) ? unets().at(model) : read_json(ModelFolder(model_path(model)).component(unet_component) / "config.json");
}

int64_t bench_text_length(const std::string& model) {
  if (in_memory(model)) return 77;
  return read_json(model_path(model) / "text_encoder" / "config.json").value("max_position_embeddings", 77);
}

}  // namespace palate
