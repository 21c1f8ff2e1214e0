// Frozen networks by their folder: reference and error space share one.
#pragma once

#include <filesystem>
#include <memory>

#include "palate/models/registry.h"

namespace palate {

// In evaluation mode, without gradients for its weights; loaded anew only where nobody holds the same one. Errors as load_denoiser.
std::shared_ptr<Denoiser> frozen_network(const std::filesystem::path& folder, const LoadOptions& options);

}  // namespace palate
