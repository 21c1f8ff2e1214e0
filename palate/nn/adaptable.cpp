#include "palate/nn/adaptable.h"

#include <torch/nn/module.h>

#include "palate/nn/adapters_as.h"
#include "palate/nn/layers.h"

namespace palate {
namespace {

thread_local bool adapters_enabled = true;

}  // namespace

AdaptersOff::AdaptersOff() : before_(adapters_enabled) { adapters_enabled = false; }
AdaptersOff::~AdaptersOff() { adapters_enabled = before_; }
AdaptersAs::AdaptersAs(bool on) : before_(adapters_enabled) { adapters_enabled = on; }
AdaptersAs::~AdaptersAs() { adapters_enabled = before_; }
bool adapters_on() { return adapters_enabled; }

void for_each_adaptable(torch::nn::Module& model, const std::function<void(const std::string&, Adaptable&)>& use) {
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    if (auto* layer = dynamic_cast<Adaptable*>(item.value().get())) use(item.key(), *layer);
  }
}

}  // namespace palate
