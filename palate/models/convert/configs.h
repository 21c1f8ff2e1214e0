// A component's config.json from its tensors: widths, depths and types are read off the shapes; what shapes do not show (heads,
// activations, scaling, schedules) is the family's.
#pragma once

#include <string>

#include "palate/io/json.h"
#include "palate/models/convert/recognise.h"

namespace palate {

struct Prediction {
  std::string type = "epsilon";  // or "v_prediction"
  bool zero_snr = false;         // the schedule ends in pure noise
  bool inpainting = false;       // from the latents, a mask and the masked picture's latents
};

// Tensors under diffusers' names. UsageError when the family's number of heads does not divide a width: a config is needed then.
Json unet_config(const TensorMap& tensors, Family family, const Prediction& prediction);
Json vae_config(const TensorMap& tensors, Family family);
enum class TextTower : uint8_t { clip, open_clip };  // their activations differ
Json text_config(const TensorMap& tensors, TextTower tower);
Json scheduler_config(Family family, const Prediction& prediction);
Json model_index(Family family, const Prediction& prediction);

}  // namespace palate
