#include "palate/adapters/lora_file.h"

#include <torch/types.h>

#include <cmath>
#include <limits>

#include "palate/core/error.h"

namespace palate {

int64_t LoraModule::rank() const { return up.size(1); }
double LoraModule::scale() const { return static_cast<double>(alpha) / static_cast<double>(rank()); }

size_t LoraFile::size() const {
  size_t count = 0;
  for (const auto& [component, modules] : components) count += modules.size();
  return count;
}

bool LoraFile::has_dora() const {
  for (const auto& [component, modules] : components) {
    for (const auto& [name, module] : modules) {
      if (module.magnitude.defined()) return true;
    }
  }
  return false;
}

void refuse_homeless(const LoraFile& lora, const std::string& where) {
  if (lora.homeless.empty()) return;
  const auto& keys = lora.homeless;
  std::string some;
  for (size_t i = 0; i < keys.size() && i < 5; ++i) some += (i ? ", " : "") + keys[i];
  fail<UsageError>(lora.origin, ": ", keys.size(), " of ", lora.keys, " keys have no home in ", where, ": ", some,
                   keys.size() > 5 ? ", ..." : "", ": it was made for another model, or is no LoRA");
}

namespace {

// W + update, scaled so that each output (or input) has the norm that DoRA learned.
Tensor dora_weight(const Tensor& sum, const Tensor& magnitude) {
  const bool of_inputs = magnitude.size(0) == 1 && sum.size(0) != 1;
  const Tensor flat = of_inputs ? sum.transpose(0, 1).flatten(1) : sum.flatten(1);
  std::vector<int64_t> shape(static_cast<size_t>(sum.dim()), 1);
  shape[of_inputs ? 1 : 0] = flat.size(0);
  const Tensor norm = at::linalg_vector_norm(flat, 2, at::IntArrayRef{1}).view(shape);
  return sum * (magnitude.to(sum.options()).view(shape) / norm);
}

}  // namespace

Tensor delta_weight(const LoraModule& module, const Tensor& weight) {
  const torch::NoGradGuard no_grad;
  std::vector<int64_t> shape = module.down.sizes().vec();
  shape[0] = module.up.size(0);
  const Tensor down = module.down.to(torch::kFloat32).flatten(1), up = module.up.to(torch::kFloat32).flatten(1);
  const Tensor update = (up.matmul(down) * module.scale()).view(shape);
  if (!module.magnitude.defined()) return update;
  check<UsageError>(weight.defined(), "the update of a DoRA depends on the weight that it changes: name the model with --model");
  const Tensor base = weight.to(torch::kFloat32).reshape(shape);
  return dora_weight(base + update, module.magnitude) - base;
}

namespace {

// max |a - b| and max |a| over one tensor.
struct Distance {
  double difference = 0, size = 0;
  void add(const Tensor& a, const Tensor& b) {
    difference = std::max(difference, (a - b).abs().max().item<double>());
    size = std::max(size, a.abs().max().item<double>());
  }
  double relative() const { return difference == 0 ? 0 : difference / size; }
};

Distance distance(const LoraModule& a, const LoraModule& b) {
  const double far = std::numeric_limits<double>::infinity();
  LoraModule first = a, second = b;
  first.magnitude = second.magnitude = Tensor();  // which no base weight is at hand for
  const Tensor one = delta_weight(first), two = delta_weight(second);
  if (one.numel() != two.numel() || a.magnitude.defined() != b.magnitude.defined()) return {far, 1};
  Distance distance;
  distance.add(one.flatten(), two.flatten());
  if (a.magnitude.defined()) {
    if (a.magnitude.sizes() != b.magnitude.sizes()) return {far, 1};
    distance.add(a.magnitude.to(torch::kFloat32), b.magnitude.to(torch::kFloat32));
  }
  return std::isfinite(distance.difference) ? distance : Distance{far, 1};
}

}  // namespace

double compare_loras(const LoraFile& a, const LoraFile& b, std::string* worst) {
  const double far = std::numeric_limits<double>::infinity();
  double most = 0;
  const auto note = [&](double value, const std::string& name) {
    if (value > most && worst) *worst = name;
    most = std::max(most, value);
  };
  for (const auto& [component, modules] : a.components) {
    for (const auto& [name, module] : modules) {
      const auto other = b.components.find(component);
      const bool there = other != b.components.end() && other->second.contains(name);
      note(there ? distance(module, other->second.find(name)->second).relative() : far, component + "." + name);
    }
  }
  if (a.size() != b.size()) note(far, "a module of " + b.origin);
  return most;
}

}  // namespace palate
