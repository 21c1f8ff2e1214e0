// UNet2DConditionModel as diffusers names and builds it: SD 1.x, 2.x, SDXL, and small ones.
#pragma once

#include <memory>

#include "palate/models/denoiser.h"

namespace palate {

// Uninitialised weights. UsageError for an option that is not supported, FormatError for a config that makes no sense.
std::unique_ptr<Denoiser> make_unet_2d_condition(const Json& config, const std::string& origin);

}  // namespace palate
