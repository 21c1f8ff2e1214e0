// palate lora inspect, convert, verify.
#include <torch/types.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "palate/cli/flag_checks.h"
#include "palate/cli/lora_commands.h"
#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/hub/model_path.h"
#include "palate/io/atomic_file.h"
#include "palate/io/json.h"
#include "palate/pipeline/model_folder.h"

namespace palate {

namespace fs = std::filesystem;

std::optional<ModelLayers> LoraArguments::layers() const {
  if (model.empty()) return std::nullopt;
  return read_model_layers(model_path(model));
}

LoraSpelling LoraArguments::spelling() const { return to.empty() ? LoraSpelling::diffusers : parse_lora_spelling(to); }

LoraFile read_whole_lora(const std::string& path, const std::optional<ModelLayers>& layers) {
  LoraFile lora = read_lora(path, layers ? &*layers : nullptr);
  refuse_homeless(lora, layers ? "this model" : "Stable Diffusion 1, 2 or XL");
  return lora;
}

std::string layers_in(const LoraFile& lora) {
  std::string text;
  for (const auto& [component, modules] : lora.components) text += concat(text.empty() ? "" : ", ", component, " ", modules.size());
  return text;
}

namespace {

const LayerShapes* unet_of(const std::optional<ModelLayers>& layers) {
  return layers && layers->contains(unet_component) ? &layers->find(unet_component)->second : nullptr;
}

// diffusers 0.42 reads such files with one alpha for all attention layers.
void warn_of_alphas(const std::string& path, const LoraFile& lora) {
  std::set<float> alphas;
  for (const auto& [name, tensor] : lora_tensors(lora, LoraSpelling::kohya)) {
    if (name.starts_with("lora_unet_") && name.ends_with(".alpha")) alphas.insert(tensor.item<float>());
  }
  if (alphas.size() > 1)
    warn(path, ": the layers' alphas differ (", *alphas.begin(), " to ", *alphas.rbegin(),
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

std::string counted(const Json& counts) {
  std::string text;
  for (const auto& [value, count] : counts.items()) text += concat(text.empty() ? "" : ", ", value, " (", count.get<int64_t>(), ")");
  return text;
}

void line(const std::string& name, const std::string& value) { std::printf("%-18s %s\n", name.c_str(), value.c_str()); }

void print(const Json& out) {
  line("file", out["file"].get<std::string>());
  line("spelling", out["spelling"].get<std::string>());
  for (const auto& [component, part] : out["components"].items()) {
    std::string dtypes;
    for (const auto& dtype : part["dtypes"]) dtypes += (dtypes.empty() ? "" : ", ") + dtype.get<std::string>();
    line(component, concat(part["layers"].get<int64_t>(), " layers, ", dtypes, "; rank ", counted(part["ranks"]), "; alpha ",
                           counted(part["alphas"])));
    if (part.contains("dora_layers")) line("", concat("DoRA on ", part["dora_layers"].get<int64_t>(), " layers"));
    line("", concat("|delta-W| ", part["delta_norm"].get<double>(), part.contains("dora_layers") ? " before DoRA's magnitudes" : ""));
  }
  for (const auto& key : out["homeless"]) line("no home", key.get<std::string>());
}

// Each spelling that can say what this LoRA says.
std::vector<LoraSpelling> sayable(const LoraFile& lora) {
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

// A folder that goes with the scope.
struct Scratch {
  Scratch() : path(fs::temp_directory_path() / concat("palate-lora-", ::getpid())) { make_folder(path); }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  fs::path path;
};

}  // namespace

void write_checked(const std::string& path, const LoraFile& lora, LoraSpelling spelling, const std::optional<ModelLayers>& layers) {
  check_parent(path);
  write_lora(path, lora, spelling, unet_of(layers));
  const LoraFile again = read_whole_lora(path, layers);
  std::string worst;
  const double error = compare_loras(lora, again, &worst);
  check(error == 0, path, ": what was read again is not what was to be written: delta-W of ", worst, " differs by ", error,
        " (relative); do not use this file");
  if (spelling == LoraSpelling::kohya || spelling == LoraSpelling::kohya_sgm) warn_of_alphas(path, lora);
  log_info(path, ": ", layers_in(again), " layers; every delta-W read again is the same");
}

void inspect_lora(const LoraArguments& given) {
  const auto layers = given.layers();
  const LoraFile lora = read_lora(given.inputs[0], layers ? &*layers : nullptr);
  Json out = {{"file", given.inputs[0]}, {"spelling", lora.spelling}, {"components", Json::object()}};
  for (const auto& [component, modules] : lora.components) out["components"][component] = ranks_and_alphas(modules);
  out["homeless"] = lora.homeless;
  out["metadata"] = lora.metadata;
  if (given.json)
    std::printf("%s\n", out.dump().c_str());
  else
    print(out);
}

void convert_lora(const LoraArguments& given) {
  const LoraSpelling spelling = parse_lora_spelling(given.to);
  const auto layers = given.layers();
  LoraFile lora = read_whole_lora(given.inputs[0], layers);
  if (!given.only.empty()) {
    check<UsageError>(lora.components.contains(given.only), "--only ", given.only, ": ", given.inputs[0], " holds ", layers_in(lora));
    std::erase_if(lora.components, [&](const auto& part) { return part.first != given.only; });
  }
  write_checked(given.inputs[1], lora, spelling, layers);
}

void verify_lora(const LoraArguments& given) {
  const auto layers = given.layers();
  const LoraFile lora = read_lora(given.inputs[0], &*layers);
  for (const auto& key : lora.homeless) std::printf("no home            %s\n", key.c_str());
  check(lora.homeless.empty(), given.inputs[0], ": ", lora.homeless.size(), " of ", lora.keys, " keys have no home in ", given.model,
        " (named above): it was made for another model, or is no LoRA");
  for (const auto& [component, modules] : lora.components) {
    check(layers->contains(component), given.inputs[0], ": it adapts ", component, ", which ", given.model, " does not have");
    for (const auto& [name, module] : modules)
      check(delta_weight({module.down, module.up, {}, module.alpha}).isfinite().all().item<bool>(), given.inputs[0], ": ", component, ".",
            name, " has values that are not finite");
  }
  const Scratch scratch;
  for (const LoraSpelling spelling : sayable(lora)) {
    const fs::path path = scratch.path / (spelling == LoraSpelling::peft ? "peft" : "lora.safetensors");
    write_lora(path, lora, spelling, unet_of(layers));
    std::string worst;
    const double error = compare_loras(lora, read_whole_lora(path.string(), layers), &worst);
    check(error == 0, given.inputs[0], ": written as ", lora_spellings()[static_cast<size_t>(spelling)], " and read again, delta-W of ",
          worst, " differs by ", error, " (relative)");
  }
  if (!given.against.empty()) {
    std::string worst;
    const double error = compare_loras(lora, read_whole_lora(given.against, layers), &worst);
    check(error <= 1e-6, given.inputs[0], ": delta-W of ", worst, " differs from ", given.against, " by ", error, " (relative)");
    std::printf("against            %s: largest relative difference of a delta-W %.2g\n", given.against.c_str(), error);
  }
  std::printf("verified           %s: %s layers, every key has a home in %s, every delta-W is finite and the same in %zu spellings\n",
              given.inputs[0].c_str(), layers_in(lora).c_str(), given.model.c_str(), sayable(lora).size());
}

}  // namespace palate
