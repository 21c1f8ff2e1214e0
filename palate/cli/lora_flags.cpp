#include "palate/cli/lora_flags.h"

#include <charconv>
#include <cmath>

#include "palate/adapters/lora_file.h"
#include "palate/core/error.h"
#include "palate/pipeline/pipeline.h"

namespace palate {

LoraFlag parse_lora_flag(const std::string& text, const std::string& where) {
  LoraFlag flag{text, 1};
  if (std::filesystem::exists(flag.file)) return flag;
  const size_t colon = text.rfind(':');
  if (colon != std::string::npos) {
    const char* first = text.data() + colon + 1;
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(first, last, flag.weight);
    check<UsageError>(error == std::errc() && end == last, where, " ", text, ": expected FILE or FILE:WEIGHT, and '",
                      std::string(first, last), "' is not a number");
    check<UsageError>(std::isfinite(flag.weight), where, " ", text, ": the weight must be a finite number");
    flag.file = text.substr(0, colon);
  }
  check<UsageError>(std::filesystem::exists(flag.file), where, " ", flag.file.string(), ": there is no such file");
  return flag;
}

std::vector<Lora> load_loras(torch::nn::Module& model, const std::vector<std::string>& flags) {
  std::vector<Lora> loras;
  for (const auto& text : flags) {
    const LoraFlag flag = parse_lora_flag(text);
    loras.push_back(Lora::load(model, flag.file, flag.weight));
  }
  return loras;
}

std::vector<Lora> load_loras(const ModelParts& parts, const std::vector<std::string>& flags) {
  ModelLayers layers;
  for (const auto& [component, module] : parts) layers[component] = adaptable_shapes(*module);
  std::vector<Lora> loras;
  for (const auto& text : flags) {
    const LoraFlag flag = parse_lora_flag(text);
    const LoraFile file = read_lora(flag.file, &layers);
    refuse_homeless(file, "this model");
    for (const auto& [component, modules] : file.components) {
      const auto part = parts.find(component);
      check<UsageError>(part != parts.end(), flag.file.string(), ": it adapts ", component, " (", modules.begin()->first,
                        ") too, which is not loaded here: take a component's part with palate lora convert --only");
      loras.push_back(Lora::hang(*part->second, file, component, flag.weight));
    }
  }
  return loras;
}

std::vector<Lora> hang_loras(Pipeline& pipeline, const std::vector<std::string>& flags) {
  if (flags.empty()) return {};
  ModelParts parts = {{pipeline.denoiser_component(), &pipeline.denoiser().module()}};
  for (const size_t which : pipeline.prompt_encoder().present())
    parts[PromptEncoder::component(which)] = &pipeline.prompt_encoder().encoder(which).module();
  return load_loras(parts, flags);
}

}  // namespace palate
