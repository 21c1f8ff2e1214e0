#include "palate/train/trainable.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"

namespace palate {
namespace fs = std::filesystem;

Trainable Trainable::adapters(Denoiser& denoiser, const LoraConfig& config, uint64_t seed) {
  Trainable it(denoiser);
  for (auto& weight : denoiser.module().parameters()) weight.set_requires_grad(false);
  it.lora_ = Lora::inject(denoiser.module(), config, seed);
  it.dropout_ = config.dropout > 0;
  for (auto& [name, value] : it.lora_->parameters()) {
    it.names_.push_back(name);
    it.values_.push_back(value);
  }
  it.held_ = it.values_;
  return it;
}

Trainable Trainable::whole(Denoiser& denoiser, c10::ScalarType compute) {
  const torch::NoGradGuard no_grad;
  Trainable it(denoiser);
  for (const auto& entry : denoiser.module().named_parameters()) {
    it.names_.push_back(entry.key());
    it.values_.push_back(compute == torch::kFloat ? entry.value() : entry.value().detach().clone().contiguous());
  }
  if (compute != torch::kFloat) denoiser.module().to(compute);
  it.held_ = denoiser.module().parameters();
  for (auto& weight : it.held_) weight.set_requires_grad(true);
  return it;
}

int64_t Trainable::count() const {
  int64_t total = 0;
  for (const auto& value : values_) total += value.numel();
  return total;
}

void Trainable::collect() {
  if (held_.empty() || held_[0].is_same(values_[0])) return;  // autograd adds up in float32 by itself
  const torch::NoGradGuard no_grad;
  gradients_.resize(held_.size());
  for (size_t i = 0; i < held_.size(); ++i) {
    Tensor& gradient = held_[i].mutable_grad();
    if (!gradient.defined()) continue;
    if (gradients_[i].defined())
      gradients_[i].add_(gradient);
    else
      gradients_[i] = gradient.to(torch::kFloat).contiguous();
    gradient.reset();
  }
}

std::vector<Tensor> Trainable::gradients() const {
  if (!gradients_.empty()) return gradients_;
  std::vector<Tensor> found;
  found.reserve(held_.size());
  for (const auto& value : held_) found.push_back(value.grad());
  return found;
}

void Trainable::clear_gradients() {
  gradients_.clear();
  for (auto& value : held_) value.mutable_grad().reset();
}

void Trainable::publish() {
  if (held_.empty() || held_[0].is_same(values_[0])) return;
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < held_.size(); ++i) held_[i].copy_(values_[i]);
}

void Trainable::set_training(bool on) {
  if (lora_) lora_->set_training(on);
}

void Trainable::set_dropout_draw(uint64_t seed, const std::vector<uint64_t>& rows) {
  if (lora_ && dropout_) lora_->set_dropout_draw(seed, rows, 0);
}

void Trainable::save_result(const fs::path& folder, const Metadata& metadata) const {
  if (lora_) {
    lora_->save(folder, metadata);
    return;
  }
  std::error_code error;
  fs::create_directories(folder / "unet", error);
  check<IoError>(!error, (folder / "unet").string(), ": cannot be created (", error.message(), ")");
  TensorMap weights;
  for (size_t i = 0; i < names_.size(); ++i) weights[names_[i]] = values_[i].detach();
  write_json(folder / "unet/config.json", denoiser_->config());
  save_safetensors(folder / "unet/diffusion_pytorch_model.safetensors", weights, {{"format", "pt"}});
}

}  // namespace palate
