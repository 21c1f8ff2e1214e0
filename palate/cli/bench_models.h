// Models for `palate bench`: a folder's, or Stable Diffusion 1.5, 2.1 or XL at full size made in memory. Times do not depend on what the
// weights are, so they are a cheap pattern, written straight in the compute dtype.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <memory>
#include <string>

#include "palate/models/autoencoder.h"
#include "palate/models/denoiser.h"
#include "palate/models/text_encoder.h"

namespace palate {

// `model` is "sd15", "sd21", "sdxl" or a model folder in diffusers' layout. Autoencoder and text encoder are SD1.5's in either case.
std::unique_ptr<Denoiser> bench_denoiser(const std::string& model, c10::ScalarType dtype, c10::Device device);
std::unique_ptr<Autoencoder> bench_autoencoder(const std::string& model, c10::ScalarType dtype, c10::Device device);
std::unique_ptr<TextEncoder> bench_text_encoder(const std::string& model, c10::ScalarType dtype, c10::Device device);
Json bench_scheduler(const std::string& model);
Json bench_unet_config(const std::string& model);
int64_t bench_text_length(const std::string& model);  // tokens

}  // namespace palate
