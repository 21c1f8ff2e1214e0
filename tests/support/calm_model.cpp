#include "tests/support/calm_model.h"

#include <torch/types.h>

#include "palate/io/safetensors.h"
#include "tests/support/paths.h"

namespace palate::test {

namespace fs = std::filesystem;

fs::path calm_model(const std::string& name) {
  const fs::path folder = fresh_folder("calm_" + name);
  fs::copy(golden(name), folder, fs::copy_options::recursive);
  const bool two = fs::exists(folder / "text_encoder_2");
  for (const char* encoder : {"text_encoder", "text_encoder_2"}) {
    const fs::path path = folder / encoder / "model.safetensors";
    if (!fs::exists(path)) continue;
    TensorMap weights;
    {
      const SafetensorsFile file(path);
      for (const auto& key : file.names()) weights[key] = file.tensor(key).clone();
    }
    for (auto& [key, value] : weights) {
      if (key.ends_with("q_proj.weight") || key.ends_with("k_proj.weight")) value = value * (two ? 1.0 / 4 : 1.0 / 16);
      if (key.ends_with("final_layer_norm.bias")) value = value + 1;
    }
    save_safetensors(path, weights);
  }
  return folder;
}

}  // namespace palate::test
