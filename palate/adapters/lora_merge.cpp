#include "palate/adapters/lora_merge.h"

#include <torch/types.h>

#include <cmath>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

void refuse_dora(const LoraFile& lora) {
  check<UsageError>(!lora.has_dora(), lora.origin,
                    ": a DoRA is no product of two small matrices: merge it into a model (--model DIR --out FOLDER) instead");
}

// The update as two matrices, U [out, r] with the scale in it, and D [r, in * kh * kw].
struct Factors {
  Tensor up, down;
};

Factors factors(const LoraModule& module) {
  return {module.up.to(torch::kFloat64).flatten(1) * module.scale(), module.down.to(torch::kFloat64).flatten(1)};
}

LoraModule join(const std::vector<std::pair<const LoraModule*, double>>& parts, const std::string& name) {
  const LoraModule& first = *parts.front().first;
  std::vector<Tensor> downs, ups;
  for (const auto& [module, weight] : parts) {
    const bool fits = module->down.dim() == first.down.dim() && module->down.sizes().slice(1) == first.down.sizes().slice(1) &&
                      module->up.size(0) == first.up.size(0);
    check<UsageError>(fits, name, ": the LoRAs are of different models: one changes a layer ", show_shape(first.down.sizes()), " by ",
                      show_shape(first.up.sizes()), ", another ", show_shape(module->down.sizes()), " by ", show_shape(module->up.sizes()));
    downs.push_back(module->down.to(torch::kFloat32));
    ups.push_back(module->up.to(torch::kFloat32) * (weight * module->scale()));
  }
  LoraModule out;
  out.down = torch::cat(downs, 0);
  out.up = torch::cat(ups, 1);
  out.alpha = static_cast<float>(out.rank());
  return out;
}

// Leading directions of U D, by QR of both and the SVD of the small product between.
LoraModule resized(const LoraModule& module, const ResizeOptions& options, double& left, double& whole) {
  const Factors f = factors(module);
  const auto [up_q, up_r] = at::linalg_qr(f.up);
  const auto [down_q, down_r] = at::linalg_qr(f.down.t());
  const auto [u, s, v] = at::linalg_svd(up_r.matmul(down_r.t()), /*full_matrices=*/false);
  const Tensor squares = s.square();
  const double total = squares.sum().item<double>();
  int64_t rank = options.rank > 0 ? std::min(options.rank, s.size(0)) : s.size(0);
  if (options.keep < 1) {
    const Tensor missing = (squares.cumsum(0) < options.keep * total).sum();
    rank = std::min(rank, missing.item<int64_t>() + 1);
  }
  const Tensor root = s.narrow(0, 0, rank).sqrt();
  std::vector<int64_t> up = module.up.sizes().vec(), down = module.down.sizes().vec();
  up[1] = down[0] = rank;
  LoraModule out;
  out.up = (up_q.matmul(u.narrow(1, 0, rank)) * root).to(module.up.scalar_type()).reshape(up).contiguous();
  out.down = (root.unsqueeze(1) * v.narrow(0, 0, rank).matmul(down_q.t())).to(module.down.scalar_type()).reshape(down).contiguous();
  out.alpha = static_cast<float>(rank);
  left += squares.narrow(0, rank, s.size(0) - rank).sum().item<double>();
  whole += total;
  return out;
}

}  // namespace

LoraFile concatenate_loras(const std::vector<WeightedLora>& loras) {
  const torch::NoGradGuard no_grad;
  check<UsageError>(!loras.empty(), "merging LoRAs: there are none");
  std::map<std::string, std::map<std::string, std::vector<std::pair<const LoraModule*, double>>>> parts;
  LoraFile out;
  for (const auto& [file, weight] : loras) {
    refuse_dora(file);
    out.origin += (out.origin.empty() ? "" : " + ") + file.origin;
    for (const auto& [component, modules] : file.components) {
      for (const auto& [name, module] : modules) parts[component][name].emplace_back(&module, weight);
    }
  }
  for (const auto& [component, modules] : parts) {
    for (const auto& [name, list] : modules) out.components[component][name] = join(list, component + "." + name);
  }
  return out;
}

LoraFile resize_lora(const LoraFile& lora, const ResizeOptions& options, double* lost) {
  const torch::NoGradGuard no_grad;
  refuse_dora(lora);
  LoraFile out = lora;
  double left = 0, whole = 0;
  for (auto& [component, modules] : out.components) {
    for (auto& [name, module] : modules) {
      check(module.down.isfinite().all().item<bool>() && module.up.isfinite().all().item<bool>(), lora.origin, ": ", name,
            " has values that are not finite");
      module = resized(module, options, left, whole);
    }
  }
  if (lost) *lost = whole > 0 ? std::sqrt(left / whole) : 0;
  return out;
}

namespace {

// Adds what the LoRAs say of `layer`; undefined when they say nothing.
Tensor merged(const Tensor& weight, const std::vector<WeightedLora>& loras, const std::string& component, const std::string& layer) {
  Tensor sum;
  for (const auto& [file, scale] : loras) {
    const auto part = file.components.find(component);
    if (part == file.components.end()) continue;
    const auto module = part->second.find(layer);
    if (module == part->second.end()) continue;
    const Tensor update = delta_weight(module->second, weight);
    check<UsageError>(update.numel() == weight.numel() && update.size(0) == weight.size(0), file.origin, ": ", layer, " changes a weight ",
                      show_shape(update.sizes()), ", but the model's is ", show_shape(weight.sizes()));
    sum = (sum.defined() ? sum : weight.to(torch::kFloat32)) + update.view(weight.sizes()) * scale;
  }
  return sum.defined() ? sum.to(weight.scalar_type()) : sum;
}

int64_t merge_file(const fs::path& from, const fs::path& to, const std::string& component, const std::vector<WeightedLora>& loras,
                   std::map<std::string, bool>& seen) {
  const SafetensorsFile file(from);
  TensorMap tensors;
  int64_t changed = 0;
  for (const auto& name : file.names()) {
    const Tensor weight = file.tensor(name);
    const std::string layer = layer_of_tensor(component, name, static_cast<size_t>(weight.dim()));
    const Tensor sum = layer.empty() ? Tensor() : merged(weight, loras, component, layer);
    tensors[name] = sum.defined() ? sum : weight;
    if (!sum.defined()) continue;
    seen[component + "." + layer] = true;
    ++changed;
  }
  save_safetensors(to, tensors, file.metadata());
  return changed;
}

bool adapted(const std::string& component, const std::vector<WeightedLora>& loras) {
  for (const auto& lora : loras) {
    if (lora.file.components.contains(component)) return true;
  }
  return false;
}

bool pickled(const fs::path& path) {
  return path.extension() == ".bin" || path.extension() == ".ckpt" || path.extension() == ".pt" || path.extension() == ".msgpack";
}

// All files of MODEL but the weights of adapted components.
void copy_rest(const fs::path& model, const fs::path& out, const std::vector<WeightedLora>& loras) {
  for (const auto& entry : fs::recursive_directory_iterator(model)) {
    const fs::path relative = entry.path().lexically_relative(model);  // links are not followed: those of the hub's cache lead out of MODEL
    const bool weights = entry.path().extension() == ".safetensors" || pickled(entry.path());
    if (entry.is_directory())
      make_folder(out / relative);
    else if (!(weights && adapted(relative.parent_path().string(), loras)))
      fs::copy(entry.path(), out / relative);
  }
}

}  // namespace

int64_t merge_into_model(const fs::path& model, const fs::path& out, const std::vector<WeightedLora>& loras) {
  const torch::NoGradGuard no_grad;
  check<UsageError>(!fs::exists(out), out.string(), ": is there already: name a new folder");
  AtomicFolder folder(out);
  copy_rest(model, folder.work(), loras);
  std::map<std::string, bool> seen;
  int64_t changed = 0;
  for (const auto& component : lora_components()) {
    if (!adapted(component, loras)) continue;
    for (const auto& file : component_weights(model / component))
      changed += merge_file(file, folder.work() / component / file.filename(), component, loras, seen);
  }
  for (const auto& lora : loras) {
    for (const auto& [component, modules] : lora.file.components) {
      for (const auto& [name, module] : modules)
        check<UsageError>(seen.contains(component + "." + name), lora.file.origin, ": ", component, ".", name, " has no weight in ",
                          model.string());
    }
  }
  folder.commit();
  return changed;
}

}  // namespace palate
