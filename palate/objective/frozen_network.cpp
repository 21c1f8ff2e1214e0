#include "palate/objective/frozen_network.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <map>
#include <mutex>

#include "palate/core/error.h"

namespace palate {

std::shared_ptr<Denoiser> frozen_network(const std::filesystem::path& folder, const LoadOptions& options) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<Denoiser>> held;
  const std::string key = concat(std::filesystem::absolute(folder).lexically_normal().string(), "\n", static_cast<int>(options.dtype), " ",
                                 options.device.str(), " ", options.variant);
  const std::lock_guard lock(mutex);
  if (auto found = held[key].lock()) return found;
  std::shared_ptr<Denoiser> network = load_denoiser(folder, options);
  network->module().eval();
  for (auto& parameter : network->module().parameters()) parameter.requires_grad_(false);
  held[key] = network;
  return network;
}

}  // namespace palate
