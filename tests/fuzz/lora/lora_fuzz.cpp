// read_lora on the bytes of a safetensors file, for a model of six layers (tests/fuzz/lora/make_seeds.py makes LoRAs of it).
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include "palate/adapters/lora_file.h"
#include "palate/adapters/lora_names.h"
#include "palate/core/error.h"
#include "tests/fuzz/targets.h"

namespace palate::fuzz {
namespace {

namespace fs = std::filesystem;

const std::string block = "down_blocks.1.attentions.0.", text = "text_model.encoder.layers.0.self_attn.q_proj";
const ModelLayers model = {{"unet",
                            {{block + "proj_in", {4, 4, 1, 1}},
                             {block + "transformer_blocks.0.attn1.to_q", {6, 5}},
                             {"down_blocks.0.resnets.0.conv1", {3, 2, 3, 3}},
                             {"down_blocks.0.resnets.1.conv1", {3, 3, 3, 3}}}},
                           {"text_encoder", {{text, {4, 4}}}},
                           {"text_encoder_2", {{text, {4, 4}}}}};

struct Scratch {
  Scratch() : path(fs::temp_directory_path() / concat("palate-fuzz-", ::getpid(), ".safetensors")) {}
  ~Scratch() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
  fs::path path;
};

// What is accepted is a LoRA of that layer: halves of one rank, an alpha that is a number, an update of the layer's shape.
void check_module(const LoraModule& module, const std::vector<int64_t>* shape) {
  promise(module.down.is_floating_point() && module.up.is_floating_point(), "a half is not of floating-point numbers");
  promise(module.down.dim() == module.up.dim() && module.rank() > 0 && module.down.size(0) == module.rank(),
          "the halves are not of one rank");
  promise(std::isfinite(module.alpha) && module.alpha > 0, "alpha is none");
  const int64_t out = module.up.size(0), in = module.down.size(1);
  if (module.magnitude.defined()) {
    const auto sides = module.magnitude.sizes();
    promise(sides.size() == 2 && (sides == at::IntArrayRef{out, 1} || sides == at::IntArrayRef{1, in}),
            "a magnitude fits neither outputs nor inputs");
  }
  if (!shape) return;
  LoraModule plain = module;
  plain.magnitude = Tensor();
  promise(delta_weight(plain).sizes().vec() == *shape, "the update is not of the layer's shape");
}

void check_lora(const LoraFile& lora, const ModelLayers* layers) {
  promise(lora.size() > 0 && lora.homeless.size() < lora.keys, "nothing was found, and it was no error");
  for (const auto& [component, modules] : lora.components) {
    promise(!modules.empty(), "a component is empty");
    for (const auto& [name, module] : modules) {
      promise(!layers || layers->at(component).contains(name), "a layer is not in the model");
      check_module(module, layers ? &layers->at(component).at(name) : nullptr);
    }
  }
  // It can be written in kohya's spelling, where each key finds the layer that it came from.
  lora_metadata(lora, LoraSpelling::kohya);
  lora_metadata(lora, LoraSpelling::diffusers);
  if (!layers) return;
  const LoraNames names(*layers);
  for (const auto& [key, tensor] : lora_tensors(lora, LoraSpelling::kohya)) {
    const auto home = names.find(key);
    promise(home && lora.components.contains(home->component) && lora.components.at(home->component).contains(home->module),
            "a written key has no home");
  }
}

// The header's length is made to fit: else next to no change would come further than the file's first eight bytes.
std::string with_length(std::string_view bytes) {
  std::string file(bytes);
  const size_t brackets = file.rfind("}}");
  if (brackets == std::string::npos || brackets < 8) return file;
  const size_t end = std::min(file.find_first_not_of(' ', brackets + 2), file.size());
  for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>((end - 8) >> (8 * i));
  return file;
}

}  // namespace

void lora(std::string_view bytes) {
  static const Scratch scratch;
  std::ofstream(scratch.path, std::ios::binary) << with_length(bytes);
  check_lora(read_lora(scratch.path, &model), &model);
  check_lora(read_lora(scratch.path), nullptr);
}

}  // namespace palate::fuzz
