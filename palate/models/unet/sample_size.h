// What a U-Net's config says of its latents, without making the U-Net.
#pragma once

#include <cstdint>
#include <string>

#include "palate/io/json.h"

namespace palate {

// Side of the latents that it was made for: `sample_size`, the first of two where it is a list, 64 where it is missing or null. FormatError
// names `origin`.
int64_t unet_sample_size(const Json& config, const std::string& origin);

}  // namespace palate
