// A trained LoRA as the two files that other programs read: diffusers' and kohya's.
#include "palate/adapters/lora_adapter.h"
#include "palate/adapters/lora_file.h"
#include "palate/core/error.h"

namespace palate {

void Lora::save(const std::filesystem::path& folder, const Metadata& metadata) const {
  check(!state_->layers.empty(), "a LoRA without layers cannot be saved to ", folder.string());
  save(folder, {{state_->layers.front().name.starts_with("text_model.") ? "text_encoder" : "unet", this}}, metadata);
}

void Lora::save(const std::filesystem::path& folder, const std::map<std::string, const Lora*>& components, const Metadata& metadata) {
  LoraFile file;
  file.metadata = metadata;
  bool patterns = components.size() > 1;  // components have targets of their own: every name in full
  for (const auto& [component, lora] : components) {
    const State& state = *lora->state_;
    check(state.dense.empty(), "a DoRA cannot be saved from a model in memory to ", folder.string(),
          ": convert its file with palate lora convert");
    file.dropout = state.config.dropout;
    file.targets = state.config.targets;
    for (const auto& target : state.config.targets)
      patterns = patterns || target.find('*') != std::string::npos;  // which only we understand
    LoraModules& modules = file.components[component];
    for (const auto& item : state.layers)
      modules[item.name] = {.down = item.adapter->down.detach(),
                            .up = item.adapter->up.detach(),
                            .magnitude = {},
                            .alpha = static_cast<float>(item.adapter->alpha)};
  }
  if (patterns) file.targets.clear();
  write_lora(folder / "pytorch_lora_weights.safetensors", file, LoraSpelling::diffusers);
  file.metadata.emplace("modelspec.title", "LoRA trained with Palate");
  write_lora(folder / "pytorch_lora_weights.kohya.safetensors", file, LoraSpelling::kohya);
}

}  // namespace palate
