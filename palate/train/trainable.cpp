#include "palate/train/trainable.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/safetensors.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

const char* const weight_file = "diffusion_pytorch_model.safetensors";

}  // namespace

Trainable Trainable::adapters(Denoiser& denoiser, const LoraConfig& config, uint64_t seed) {
  Trainable it(denoiser);
  for (auto& weight : denoiser.module().parameters()) weight.set_requires_grad(false);
  it.lora_ = Lora::inject(denoiser.module(), config, seed);
  it.dropout_ = config.dropout > 0;
  for (auto& [name, value] : it.lora_->parameters()) {
    it.group_.names.push_back(name);
    it.group_.values.push_back(value);
  }
  return it;
}

Trainable Trainable::whole(Denoiser& denoiser, c10::ScalarType compute) {
  const torch::NoGradGuard no_grad;
  Trainable it(denoiser);
  const bool masters = compute != torch::kFloat;
  for (const auto& entry : denoiser.module().named_parameters()) {
    it.group_.names.push_back(entry.key());
    it.group_.values.push_back(masters ? entry.value().detach().clone().contiguous() : entry.value());
  }
  if (masters) denoiser.module().to(compute);
  for (auto& weight : denoiser.module().parameters()) weight.set_requires_grad(true);
  if (masters) it.group_.held = denoiser.module().parameters();
  return it;
}

void Trainable::set_training(bool on) {
  if (lora_) lora_->set_training(on);
}

void Trainable::set_dropout_draw(uint64_t seed, const std::vector<uint64_t>& rows) {
  if (lora_ && dropout_) lora_->set_dropout_draw(seed, rows, 0);
}

void Trainable::write(const fs::path& folder) const {
  std::error_code error;
  fs::create_directories(folder, error);
  check<IoError>(!error, folder.string(), ": cannot be created (", error.message(), ")");
  TensorMap weights;
  for (size_t i = 0; i < group_.names.size(); ++i) weights[group_.names[i]] = group_.values[i].detach();
  write_json(folder / "config.json", denoiser_->config());
  save_safetensors(folder / weight_file, weights, {{"format", "pt"}});
}

void Trainable::read(const fs::path& folder) const {
  const torch::NoGradGuard no_grad;
  check<UsageError>(fs::exists(folder / weight_file), folder.parent_path().string(),
                    " holds adapters, but full = true: resume with the run's own config");
  const SafetensorsFile file(folder / weight_file);
  for (size_t i = 0; i < group_.names.size(); ++i) {
    Tensor value = group_.values[i];
    const Tensor saved = file.contains(group_.names[i]) ? file.tensor(group_.names[i]) : Tensor();
    check<UsageError>(saved.defined() && saved.sizes() == value.sizes(), file.path().string(), ": expected '", group_.names[i],
                      "' of shape ", show_shape(value.sizes()), ", found ", saved.defined() ? show_shape(saved.sizes()) : "none",
                      ": the run was started with another model");
    value.copy_(saved);
  }
}

}  // namespace palate
