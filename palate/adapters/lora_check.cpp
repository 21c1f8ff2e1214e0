#include "palate/adapters/lora_check.h"

#include <torch/types.h>
#include <unistd.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

const LayerShapes* unet_shapes(const ModelLayers* model) {
  if (!model) return nullptr;
  const auto unet = model->find("unet");
  return unet == model->end() ? nullptr : &unet->second;
}

// diffusers 0.42 reads such files with one alpha for all attention layers.
void warn_of_alphas(const fs::path& path, const LoraFile& lora) {
  std::set<float> alphas;
  for (const auto& [name, tensor] : lora_tensors(lora, LoraSpelling::kohya)) {
    if (name.starts_with("lora_unet_") && name.ends_with(".alpha")) alphas.insert(tensor.item<float>());
  }
  if (alphas.size() > 1)
    warn(path.string(), ": the layers' alphas differ (", *alphas.begin(), " to ", *alphas.rbegin(),
         "), which kohya's readers see and diffusers does not: for diffusers, convert --to diffusers");
}

Json ranks_and_alphas(const LoraModules& modules) {
  std::map<int64_t, int64_t> ranks;
  std::map<float, int64_t> alphas;
  std::set<std::string> dtypes;
  int64_t dora = 0;
  double squares = 0;
  for (const auto& [name, module] : modules) {
    ++ranks[module.rank()];
    ++alphas[module.alpha];
    dtypes.insert(c10::toString(module.down.scalar_type()));
    if (module.magnitude.defined()) ++dora;
    LoraModule plain = module;
    plain.magnitude = Tensor();
    squares += delta_weight(plain).square().sum().item<double>();
  }
  Json out = {{"layers", modules.size()},
              {"ranks", Json::object()},
              {"alphas", Json::object()},
              {"dtypes", dtypes},
              {"delta_norm", std::sqrt(squares)}};
  for (const auto& [rank, count] : ranks) out["ranks"][std::to_string(rank)] = count;
  for (const auto& [alpha, count] : alphas) out["alphas"][Json(alpha).dump()] = count;
  if (dora > 0) out["dora_layers"] = dora;
  return out;
}

// A folder that goes with the scope.
struct Scratch {
  Scratch() : path(fs::temp_directory_path() / concat("palate-lora-", ::getpid())) { make_folder(path); }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path path;
};

void check_values(const LoraFile& lora, const ModelLayers& model, const std::string& name) {
  for (const auto& [component, modules] : lora.components) {
    check(model.contains(component), lora.origin, ": it adapts ", component, ", which ", name, " does not have");
    for (const auto& [layer, module] : modules)
      check(delta_weight({module.down, module.up, {}, module.alpha}).isfinite().all().item<bool>(), lora.origin, ": ", component, ".",
            layer, " has values that are not finite");
  }
}

}  // namespace

LoraFile read_whole_lora(const fs::path& path, const ModelLayers* model) {
  LoraFile lora = read_lora(path, model);
  refuse_homeless(lora, model ? "this model" : "Stable Diffusion 1, 2 or XL");
  return lora;
}

void write_checked_lora(const fs::path& path, const LoraFile& lora, LoraSpelling spelling, const ModelLayers* model) {
  write_lora(path, lora, spelling, unet_shapes(model));
  const LoraFile again = read_whole_lora(path, model);
  std::string worst;
  const double error = compare_loras(lora, again, &worst);
  check(error == 0, path.string(), ": what was read again is not what was to be written: delta-W of ", worst, " differs by ", error,
        " (relative); do not use this file");
  if (spelling == LoraSpelling::kohya || spelling == LoraSpelling::kohya_sgm) warn_of_alphas(path, lora);
  log_info(path.string(), ": ", count_layers(again), " layers; every delta-W read again is the same");
}

std::vector<LoraSpelling> spellings_for(const LoraFile& lora) {
  std::vector<LoraSpelling> all = {LoraSpelling::kohya, LoraSpelling::kohya_sgm};
  for (const auto& [component, modules] : lora.components) {
    for (const auto& [name, module] : modules) {
      if (module.magnitude.defined() && module.magnitude.size(0) != module.up.size(0)) return all;
    }
  }
  all.push_back(LoraSpelling::diffusers);
  all.push_back(LoraSpelling::peft);
  return all;
}

void verify_lora(const LoraFile& lora, const ModelLayers& model, const std::string& name) {
  check(lora.homeless.empty(), lora.origin, ": ", lora.homeless.size(), " of ", lora.keys, " keys have no home in ", name, " (",
        lora.homeless.empty() ? "" : lora.homeless[0], lora.homeless.size() > 1 ? ", ..." : "",
        "): it was made for another model, or is no LoRA");
  check_values(lora, model, name);
  const Scratch scratch;
  for (const LoraSpelling spelling : spellings_for(lora)) {
    const fs::path path = scratch.path / (spelling == LoraSpelling::peft ? "peft" : "lora.safetensors");
    write_lora(path, lora, spelling, unet_shapes(&model));
    std::string worst;
    const double error = compare_loras(lora, read_whole_lora(path, &model), &worst);
    check(error == 0, lora.origin, ": written as ", lora_spellings()[static_cast<size_t>(spelling)], " and read again, delta-W of ", worst,
          " differs by ", error, " (relative)");
  }
}

std::string count_layers(const LoraFile& lora) {
  std::string text;
  for (const auto& [component, modules] : lora.components) text += concat(text.empty() ? "" : ", ", component, " ", modules.size());
  return text;
}

Json describe_lora(const LoraFile& lora) {
  Json out = {{"file", lora.origin}, {"spelling", lora.spelling}, {"components", Json::object()}};
  for (const auto& [component, modules] : lora.components) out["components"][component] = ranks_and_alphas(modules);
  out["homeless"] = lora.homeless;
  out["metadata"] = lora.metadata;
  return out;
}

}  // namespace palate
