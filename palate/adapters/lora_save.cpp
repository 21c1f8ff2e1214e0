// A trained LoRA as the two files that other programs read: diffusers' and kohya's.
#include "palate/adapters/lora_adapter.h"
#include "palate/adapters/lora_file.h"
#include "palate/core/error.h"

namespace palate {

void Lora::save(const std::filesystem::path& folder, const Metadata& metadata) const {
  check(!state_->layers.empty(), "a LoRA without layers cannot be saved to ", folder.string());
  check(state_->dense.empty(), "a DoRA cannot be saved from a model in memory to ", folder.string(), ": convert its file with palate lora convert");
  LoraFile file;
  file.metadata = metadata;
  file.dropout = state_->config.dropout;
  file.targets = state_->config.targets;
  for (const auto& target : state_->config.targets) {
    if (target.find('*') == std::string::npos) continue;
    file.targets.clear();  // a pattern that only we understand: every name in full
    break;
  }
  LoraModules& modules = file.components[state_->layers.front().name.starts_with("text_model.") ? "text_encoder" : "unet"];
  for (const auto& item : state_->layers)
    modules[item.name] = {.down = item.adapter->down.detach(), .up = item.adapter->up.detach(), .magnitude = {}, .alpha = static_cast<float>(item.adapter->alpha)};
  write_lora(folder / "pytorch_lora_weights.safetensors", file, LoraSpelling::diffusers);
  file.metadata.emplace("modelspec.title", "LoRA trained with Palate");
  write_lora(folder / "pytorch_lora_weights.kohya.safetensors", file, LoraSpelling::kohya);
}

}  // namespace palate
