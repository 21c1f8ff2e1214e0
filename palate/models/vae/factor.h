// What an autoencoder's config says of its latents, without making the autoencoder.
#pragma once

#include <cstdint>
#include <string>

#include "palate/io/json.h"

namespace palate {

// Pixels per latent along one side: it halves the picture after each of `block_out_channels` but the last. FormatError names `origin`.
int64_t vae_factor(const Json& config, const std::string& origin);

}  // namespace palate
