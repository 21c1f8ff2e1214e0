// A LoRA that was read, on a model in memory.
#include <torch/types.h>

#include "palate/adapters/lora_adapter.h"
#include "palate/adapters/lora_file.h"
#include "palate/core/error.h"

namespace palate {

std::string lora_component(torch::nn::Module& model) {
  for (const auto& item : adaptable_layers(model)) {
    if (item.name.starts_with("text_model.")) return "text_encoder";
  }
  return "unet";
}

LayerShapes adaptable_shapes(torch::nn::Module& model) {
  LayerShapes shapes;
  for (const auto& item : adaptable_layers(model)) shapes[item.name] = item.layer->base_weight().sizes().vec();
  return shapes;
}

Lora Lora::load(torch::nn::Module& model, const std::filesystem::path& path, double weight) {
  const std::string component = lora_component(model);
  const ModelLayers layers = {{component, adaptable_shapes(model)}};
  const LoraFile file = read_lora(path, &layers);
  refuse_homeless(file, "this model");
  for (const auto& [other, modules] : file.components) {
    check<UsageError>(other == component, path.string(), ": this LoRA also adapts ", modules.size(),
                      modules.size() == 1 ? " layer of " : " layers of ", other, " (", modules.begin()->first,
                      "), which is not loaded here: take this component's part with palate lora convert --only ", component);
  }
  return hang(model, file, component, weight);
}

Lora Lora::hang(torch::nn::Module& model, const LoraFile& file, const std::string& component, double weight) {
  const auto part = file.components.find(component);
  check<UsageError>(part != file.components.end(), file.origin, ": there is no LoRA for ", component, " in this file");
  const LoraModules& modules = part->second;
  auto state = std::make_unique<State>();
  state->config.targets.clear();
  std::vector<std::pair<const NamedAdaptable*, const LoraModule*>> pairs;  // all is checked before the model is touched
  const auto layers = adaptable_layers(model);
  for (const auto& item : layers) {
    const auto module = modules.find(item.name);
    if (module != modules.end()) pairs.emplace_back(&item, &module->second);
  }
  check<UsageError>(pairs.size() == modules.size(), file.origin, ": ", modules.size() - pairs.size(), " of ", modules.size(),
                    " layers are not in this model's ", component);
  std::vector<Tensor> dense(pairs.size());
  for (size_t i = 0; i < pairs.size(); ++i) {
    const Tensor& base = pairs[i].first->layer->base_weight();
    if (pairs[i].second->magnitude.defined())
      dense[i] = delta_weight(*pairs[i].second, base.cpu().contiguous()).view(base.sizes()).to(base.options()).detach();
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto& [item, module] = pairs[i];
    if (dense[i].defined()) {
      auto adapter = std::make_shared<DenseAdapter>(*item->layer, dense[i]);
      item->layer->adapters.push_back(adapter);
      state->dense.push_back({item->layer, std::move(adapter)});
    } else {
      state->hang(item->name, *item->layer, module->down, module->up, module->alpha);
      state->config.targets.push_back(item->name);
    }
  }
  if (!state->layers.empty()) {
    state->config.rank = state->layers.front().adapter->rank();
    state->config.alpha = state->layers.front().adapter->alpha;
  }
  Lora lora(std::move(state));
  lora.set_weight(weight);
  return lora;
}

}  // namespace palate
