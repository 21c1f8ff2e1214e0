// LoRA files in any of their spellings.
#include <torch/types.h>

#include <cmath>

#include "palate/adapters/lora_alpha.h"
#include "palate/adapters/lora_file.h"
#include "palate/adapters/lora_legacy.h"
#include "palate/adapters/lora_names.h"
#include "palate/core/error.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

// One module while its tensors are being found.
struct Parts {
  std::map<LoraRole, Tensor> tensors;
  std::map<LoraRole, std::string> keys;
};

Tensor read_float(const SafetensorsFile& file, const std::string& key) {
  const Tensor tensor = file.tensor(key);
  check<FormatError>(tensor.is_floating_point(), file.path().string(), ": ", key, " has dtype ", file.dtype(key),
                     ", expected a floating-point type");
  return tensor;
}

void check_shape(const SafetensorsFile& file, const std::string& key, const Tensor& half, const std::vector<int64_t>& expected) {
  check<UsageError>(half.sizes().vec() == expected, file.path().string(), ": ", key, " has shape ", show_shape(half.sizes()),
                    ", but the layer needs ", show_shape(expected), ": this LoRA was made for another model");
}

// Brings a half to the layer's number of dimensions: kohya keeps the adapters of some 1x1 convolutions as matrices, and the
// other way round.
Tensor fit(const Tensor& half, size_t dims) {
  if (half.dim() == 2 && dims == 4) return half.unsqueeze(-1).unsqueeze(-1);
  if (half.dim() == 4 && dims == 2 && half.size(2) == 1 && half.size(3) == 1) return half.flatten(1);
  return half;
}

// LoCon's decomposed convolution: 1x1 down to r, a kernel r -> r, 1x1 up. The first two are one kernel.
constexpr int64_t largest_kernel = 32;  // the product of two small halves must not fill the memory
Tensor fold_mid(const SafetensorsFile& file, const std::string& key, const Tensor& mid, const Tensor& down) {
  const bool fits = mid.dim() == 4 && (down.dim() == 2 || (down.dim() == 4 && down.size(2) == 1 && down.size(3) == 1)) &&
                    mid.size(0) == down.size(0) && mid.size(1) == down.size(0) && mid.size(2) <= largest_kernel &&
                    mid.size(3) <= largest_kernel;
  check<UsageError>(fits, file.path().string(), ": ", key, " has shape ", show_shape(mid.sizes()), " beside a down half of shape ",
                    show_shape(down.sizes()), ": expected [r, r, kh, kw] beside [r, in], and a kernel of at most ", largest_kernel,
                    " a side");
  return at::einsum("pqhw,qi->pihw", {mid.to(torch::kFloat32), down.to(torch::kFloat32).flatten(1)}).contiguous();
}

// Both halves with the same number of dimensions and one rank; with a model, those of its layer.
void fit_halves(const SafetensorsFile& file, const Parts& parts, const std::vector<int64_t>* layer, LoraModule& module) {
  const std::string& down_key = parts.keys.at(LoraRole::down);
  const std::string& up_key = parts.keys.at(LoraRole::up);
  const size_t dims = layer && !layer->empty() ? layer->size() : static_cast<size_t>(module.down.dim());
  module.down = fit(module.down, dims);
  module.up = fit(module.up, dims);
  std::vector<int64_t> down = layer && !layer->empty() ? *layer : module.down.sizes().vec(), up(down.size(), 1);
  const int64_t rank = module.down.size(0);
  check<UsageError>(rank > 0, file.path().string(), ": ", down_key, " has rank 0");
  up[0] = layer && !layer->empty() ? down[0] : module.up.size(0);
  up[1] = rank;
  down[0] = rank;
  check_shape(file, down_key, module.down, down);
  check_shape(file, up_key, module.up, up);
  check<UsageError>(module.down.numel() > 0 && module.up.numel() > 0, file.path().string(), ": ", down_key, " is empty");
}

// [out, 1] or [1, in]. peft keeps [out] (or [1, out, 1, 1]); kohya [out, 1, ...] or, of LyCORIS' first releases, [1, in, ...].
Tensor fit_magnitude(const SafetensorsFile& file, const std::string& key, const Tensor& value, const LoraModule& module) {
  const int64_t out = module.up.size(0), in = module.down.size(1);
  const bool kohya = key.ends_with(".dora_scale"), of_outputs = !kohya || value.dim() < 2 || value.size(0) == out;
  const int64_t expected = of_outputs ? out : in;
  check<UsageError>(value.numel() == expected, file.path().string(), ": ", key, " has shape ", show_shape(value.sizes()), ", expected ",
                    expected, " values, one for each of the layer's ", of_outputs ? "outputs" : "inputs");
  return of_outputs ? value.reshape({out, 1}) : value.reshape({1, in});
}

LoraModule assemble(const SafetensorsFile& file, const std::string& name, const Parts& parts, const std::vector<int64_t>* layer) {
  const auto part = [&](LoraRole role) {
    const auto found = parts.tensors.find(role);
    return found == parts.tensors.end() ? Tensor() : found->second;
  };
  LoraModule module;
  module.down = part(LoraRole::down);
  module.up = part(LoraRole::up);
  check<UsageError>(module.down.defined() && module.up.defined(), file.path().string(), ": the ",
                    module.down.defined() ? "up (B)" : "down (A)", " half for ", name, " is missing: the file is not whole");
  if (const Tensor mid = part(LoraRole::mid); mid.defined()) module.down = fold_mid(file, parts.keys.at(LoraRole::mid), mid, module.down);
  fit_halves(file, parts, layer, module);
  if (const Tensor magnitude = part(LoraRole::magnitude); magnitude.defined())
    module.magnitude = fit_magnitude(file, parts.keys.at(LoraRole::magnitude), magnitude, module);
  if (const Tensor alpha = part(LoraRole::alpha); alpha.defined()) module.alpha = alpha.to(torch::kFloat32).item<float>();
  return module;
}

std::string spelling_of(const std::string& key) {
  if (key.starts_with("lora_")) {
    const bool sgm = key.find("input_blocks") != std::string::npos || key.find("output_blocks") != std::string::npos ||
                     key.find("middle_block_") != std::string::npos;
    return sgm ? "kohya (sgm blocks)" : "kohya";
  }
  if (key.starts_with("base_model.model.")) return "peft";
  if (key.find(".lora_A") != std::string::npos) return "diffusers";
  const bool older = key.find(".lora.down") != std::string::npos || key.find(".lora_linear_layer.down") != std::string::npos;
  return older ? "older diffusers" : "oldest diffusers";
}

using Found = std::map<std::string, std::map<std::string, Parts>>;

void take(const SafetensorsFile& file, const std::string& key, const LoraKey& home, Found& found) {
  Parts& parts = found[home.component][home.module];
  const Tensor value = read_float(file, key);
  if (home.role == LoraRole::alpha) {
    check<FormatError>(value.numel() == 1, file.path().string(), ": ", key, " has shape ", show_shape(value.sizes()),
                       ", expected one number");
  } else if (home.role != LoraRole::magnitude) {
    check<UsageError>(value.dim() == 2 || value.dim() == 4, file.path().string(), ": ", key, " has shape ", show_shape(value.sizes()),
                      ", expected a matrix or a kernel");
  }
  const auto [earlier, is_new] = parts.keys.emplace(home.role, key);
  check<UsageError>(is_new, file.path().string(), ": ", earlier->second, " and ", key, " name the same half of one adapter");
  parts.tensors[home.role] = value;
}

const std::vector<int64_t>* layer_shape(const ModelLayers* model, const std::string& component, const std::string& module) {
  if (!model || !model->contains(component)) return nullptr;
  const auto layer = model->find(component)->second.find(module);
  return layer == model->find(component)->second.end() ? nullptr : &layer->second;
}

// Adds the modules of one safetensors file.
void read_into(LoraFile& lora, const fs::path& path, const ModelLayers* model, const LoraNames& names, const std::string& unprefixed) {
  const SafetensorsFile file(path);
  const AlphaRule rule(file);
  Found found;
  lora.keys += file.names().size();
  for (const auto& key : file.names()) {
    const auto home = names.find(key, unprefixed);
    if (!home)
      lora.homeless.push_back(key);
    else
      take(file, key, *home, found);
    if (home && home->component == "text_encoder" && key.find("text_model") == std::string::npos) lora.bare_text_names = true;
    if (home && home->role == LoraRole::down && (lora.spelling.empty() || lora.spelling == "kohya")) lora.spelling = spelling_of(key);
  }
  for (const auto& [component, modules] : found) {
    for (const auto& [name, parts] : modules) {
      LoraModule module = assemble(file, name, parts, layer_shape(model, component, name));
      if (!(module.alpha > 0)) module.alpha = static_cast<float>(rule.alpha(component, name, module.rank()));
      if (!(module.alpha > 0)) module.alpha = static_cast<float>(module.rank());
      check<UsageError>(std::isfinite(module.alpha), path.string(), ": alpha of ", name, " is not finite");
      lora.components[component][name] = std::move(module);
    }
  }
  if (path.filename() == "adapter_model.safetensors") lora.spelling = "peft";
  lora.metadata = file.metadata();
  lora.dropout = rule.dropout();
}

// The files of a folder, each with the component of its unprefixed names ("" where names tell it).
std::vector<std::pair<fs::path, std::string>> files_in(const fs::path& path) {
  check<UsageError>(fs::exists(path), path.string(), ": there is no such file");
  if (!fs::is_directory(path)) return {{path, ""}};
  for (const char* name : {"pytorch_lora_weights.safetensors", "adapter_model.safetensors"}) {
    if (fs::exists(path / name)) return {{path / name, ""}};
  }
  std::vector<std::pair<fs::path, std::string>> files;
  for (const auto& component : lora_components()) {
    const fs::path file = path / component / "adapter_model.safetensors";
    if (fs::exists(file)) files.emplace_back(file, component);
  }
  check<UsageError>(!files.empty(), path.string(),
                    ": expected pytorch_lora_weights.safetensors or adapter_model.safetensors in this folder, found neither");
  return files;
}

// Nothing in such a file says whose layers it means but their shapes.
LoraFile legacy(const fs::path& path, const ModelLayers* model) {
  LoraFile lora = read_legacy_list(path);
  for (const auto& [component, modules] : lora.components) {
    for (const auto& [name, module] : modules) {
      if (!model || !model->contains(component)) continue;
      const auto* shape = layer_shape(model, component, name);
      const std::vector<int64_t> own = {module.up.size(0), module.down.size(1)};
      check<UsageError>(
          shape && *shape == own, path.string(), ": ", component, ".", name,
          shape ? concat(" changes a weight ", show_shape(own), ", but the model's is ", show_shape(*shape)) : " is not in the model",
          ": this LoRA was made for another model");
    }
  }
  return lora;
}

}  // namespace

LoraFile read_lora(const fs::path& path, const ModelLayers* model) {
  if (fs::is_regular_file(path) && path.extension() == ".pt") return legacy(path, model);
  LoraFile lora;
  lora.origin = path.string();
  const LoraNames names = model ? LoraNames(*model) : LoraNames();
  for (const auto& [file, component] : files_in(path)) read_into(lora, file, model, names, component);
  if (lora.components.empty()) refuse_homeless(lora, model ? "this model" : "Stable Diffusion 1, 2 or XL");
  check<UsageError>(!lora.components.empty(), path.string(), ": there is no LoRA tensor in this file");
  return lora;
}

}  // namespace palate
