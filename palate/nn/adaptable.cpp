#include "palate/nn/adaptable.h"

#include <torch/nn/module.h>

#include "palate/nn/layers.h"

namespace palate {
namespace {

thread_local uint64_t active = ~uint64_t{0};

}  // namespace

AdaptersOnly::AdaptersOnly(uint64_t sets) : before_(active) { active = sets; }
AdaptersOnly::~AdaptersOnly() { active = before_; }
uint64_t active_adapters() { return active; }

void for_each_adaptable(torch::nn::Module& model, const std::function<void(const std::string&, Adaptable&)>& use) {
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    if (auto* layer = dynamic_cast<Adaptable*>(item.value().get())) use(item.key(), *layer);
  }
}

}  // namespace palate
