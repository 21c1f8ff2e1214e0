// AutoencoderKL as diffusers names and builds it.
#pragma once

#include <memory>
#include <string>

#include "palate/models/autoencoder.h"

namespace palate {

std::unique_ptr<Autoencoder> make_autoencoder_kl(const Json& config, const std::string& origin);

// Files of SD 1.x name the attention's layers query, key, value, proj_attn; and hold them as 1x1 convolutions at times.
std::string current_vae_name(const std::string& name);

}  // namespace palate
