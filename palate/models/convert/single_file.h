// The tensors of a whole model in a single file (LDM, SGM), and the same in diffusers' components.
#pragma once

#include <string>
#include <vector>

#include "palate/models/convert/recognise.h"

namespace palate {

struct Components {
  TensorMap unet, vae, text, text_2;  // under diffusers' and transformers' names; text_2 is empty but for SDXL
};

// Views into the file but for tensors that are cut or transposed. `left_out` takes the names that are no part of the components: averages
// (model_ema), schedules, OpenCLIP's unused last layer. FormatError names up to five that belong to a component but have no place in it.
Components split_single(const TensorFile& file, Family family, std::vector<std::string>& left_out);

// The other way. FormatError as above, and for queries without keys or values.
TensorMap join_single(const Components& components, Family family, const std::string& origin);

}  // namespace palate
