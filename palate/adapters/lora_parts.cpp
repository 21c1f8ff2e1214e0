#include "palate/adapters/lora_parts.h"

#include "palate/adapters/lora_file.h"
#include "palate/core/error.h"

namespace palate {

std::vector<Lora> hang_loras(const ModelParts& parts, const std::vector<LoraChoice>& files) {
  ModelLayers layers;
  for (const auto& [component, module] : parts) layers[component] = adaptable_shapes(*module);
  std::vector<Lora> loras;
  for (const auto& choice : files) {
    const LoraFile file = read_lora(choice.file, &layers);
    refuse_homeless(file, "this model");
    for (const auto& [component, modules] : file.components) {
      const auto part = parts.find(component);
      check<UsageError>(part != parts.end(), choice.file.string(), ": it adapts ", component, " (", modules.begin()->first,
                        ") too, which is not loaded here: take a component's part with palate lora convert --only");
      loras.push_back(Lora::hang(*part->second, file, component, choice.weight));
    }
  }
  return loras;
}

}  // namespace palate
