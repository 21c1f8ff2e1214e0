#include "palate/adapters/lora.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>

#include "palate/adapters/lora_adapter.h"
#include "palate/adapters/lora_names.h"
#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/nn/layers.h"

namespace palate {

std::vector<NamedAdaptable> adaptable_layers(torch::nn::Module& model) {
  std::vector<NamedAdaptable> layers;
  for_each_adaptable(model, [&](const std::string& name, Adaptable& layer) { layers.push_back({name, &layer}); });
  return layers;
}

void Lora::State::hang(const std::string& name, Adaptable& layer, const Tensor& down, const Tensor& up, double alpha) {
  const auto options = torch::TensorOptions().dtype(torch::kFloat32).device(layer.base_weight().device());
  auto adapter = std::make_shared<LoraAdapter>(name, layer, down.to(options).contiguous().detach().requires_grad_(true),
                                               up.to(options).contiguous().detach().requires_grad_(true), alpha);
  adapter->dropout = config.dropout;
  adapter->draw = draw;
  layer.adapters.push_back(adapter);
  layers.push_back({name, &layer, std::move(adapter)});
}

Lora Lora::inject(torch::nn::Module& model, const LoraConfig& config, uint64_t seed) {
  const auto all = adaptable_layers(model);
  const auto meant = [](const std::string& target, const NamedAdaptable& item) { return matches_target(item.name, target); };
  for (const auto& target : config.targets) {
    const bool found = std::any_of(all.begin(), all.end(), [&](const auto& item) { return meant(target, item); });
    check<UsageError>(found, "lora.targets: '", target, "' is the end of no linear or convolution layer of this model, such as '",
                      all.empty() ? "(it has none)" : all.back().name, "'");
  }
  auto state = std::make_unique<State>();
  state->config = config;
  const double alpha = config.alpha > 0 ? config.alpha : static_cast<double>(config.rank);
  for (const auto& item : all) {
    const auto& targets = config.targets;
    if (std::none_of(targets.begin(), targets.end(), [&](const auto& target) { return meant(target, item); })) continue;
    const Tensor& weight = item.layer->base_weight();
    std::vector<int64_t> down = weight.sizes().vec(), up(down.size(), 1);
    up[0] = down[0];
    up[1] = config.rank;
    down[0] = config.rank;
    Generator generator({seed, stable_hash(item.name + ".lora_A.weight"), 0, Purpose::init});
    state->hang(item.name, *item.layer, generator.normal(down) / static_cast<double>(config.rank), torch::zeros(up), alpha);
  }
  return Lora(std::move(state));
}

Lora::Lora(std::unique_ptr<State> state) : state_(std::move(state)) {}
Lora::~Lora() = default;
Lora::Lora(Lora&&) noexcept = default;
Lora& Lora::operator=(Lora&&) noexcept = default;

void Lora::remove() {
  for (auto& item : state_->layers) std::erase(item.layer->adapters, std::static_pointer_cast<Adapter>(item.adapter));
  for (auto& item : state_->dense) std::erase(item.layer->adapters, std::static_pointer_cast<Adapter>(item.adapter));
  state_->layers.clear();
  state_->dense.clear();
}

void Lora::set_weight(double weight) {
  for (auto& item : state_->layers) item.adapter->weight = weight;
  for (auto& item : state_->dense) item.adapter->weight = weight;
}

void Lora::set_adapter_set(int set) {
  check(set >= 0 && set < 64, "[lora] adapter set: expected 0 to 63, found ", set);
  for (auto& item : state_->layers) item.adapter->set = set;
  for (auto& item : state_->dense) item.adapter->set = set;
}

std::vector<std::pair<std::string, Tensor>> Lora::parameters() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const auto& item : state_->layers) {
    all.emplace_back(item.name + ".lora_A.weight", item.adapter->down);
    all.emplace_back(item.name + ".lora_B.weight", item.adapter->up);
  }
  return all;
}

void Lora::set_dropout_draw(uint64_t seed, const std::vector<uint64_t>& sample_ids, uint64_t draw) {
  state_->draw->seed = seed;
  state_->draw->ids = sample_ids;
  state_->draw->draw = draw;
}

void Lora::set_training(bool on) { state_->draw->training = on; }

int64_t Lora::layers() const { return static_cast<int64_t>(state_->layers.size() + state_->dense.size()); }

}  // namespace palate
