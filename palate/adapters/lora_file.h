// A LoRA apart from any model: what a file of any spelling (docs/formats.md, section 7) holds, and back into one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "palate/adapters/model_layers.h"
#include "palate/core/tensor.h"
#include "palate/io/safetensors.h"

namespace palate {

// The update of one layer: (alpha / rank) up down. LoCon's middle kernel is already multiplied into `down`.
struct LoraModule {
  Tensor down;       // [r, in], or [r, in, kh, kw] of a convolution
  Tensor up;         // [out, r], or [out, r, 1, 1]
  Tensor magnitude;  // DoRA: [out, 1] (a norm for each output) or [1, in] (for each input, LyCORIS only); else undefined
  float alpha = 0;

  int64_t rank() const;
  double scale() const;  // alpha / rank
};

using LoraModules = std::map<std::string, LoraModule, std::less<>>;  // by diffusers' name of the layer

struct LoraFile {
  std::string origin;    // the path it was read from, for messages
  std::string spelling;  // "diffusers", "peft", "kohya", "kohya (sgm blocks)", "older diffusers", "oldest diffusers"
  std::map<std::string, LoraModules, std::less<>> components;  // "unet", "text_encoder", "text_encoder_2"; none is empty
  std::vector<std::string> homeless;                           // keys of the file that mean nothing (here, or in the model)
  size_t keys = 0;                                             // of the file, those among them
  Metadata metadata;                                           // of the file, as it stands
  double dropout = 0;                                          // as its peft configuration says
  bool bare_text_names = false;                                // it names text_encoder's layers as transformers 5 does: no "text_model."
  std::vector<std::string> targets;                            // ends of layers' names for peft's configuration; empty: every name

  size_t size() const;  // modules in all
  bool has_dora() const;
};

// PATH is a file, or a folder with pytorch_lora_weights.safetensors or adapter_model.safetensors (peft; its adapter_config.json gives
// alpha, and one folder for each of unet/, text_encoder/, text_encoder_2/ where there are several). With a model, names are that
// model's, and half-shapes must fit its layers. FormatError or UsageError when a half is missing, twice there, or of a wrong shape or
// type, or when there is no LoRA in it. Keys without a home are no error here: they are listed in `homeless`.
LoraFile read_lora(const std::filesystem::path& path, const ModelLayers* model = nullptr);

// UsageError that names up to five keys without a home; `where` says whose names were looked at ("this model").
void refuse_homeless(const LoraFile& lora, const std::string& where);

enum class LoraSpelling { diffusers, peft, kohya, kohya_sgm };
// "diffusers", "peft", "kohya", "kohya-sgm". UsageError names the choices.
LoraSpelling parse_lora_spelling(const std::string& name);
const std::vector<std::string>& lora_spellings();

// The tensors keep their type. diffusers: alpha in the metadata (lora_adapter_metadata), patterns where ranks or alphas differ.
// peft: PATH becomes a folder (adapter_model.safetensors and adapter_config.json; one folder a component when there are several).
// kohya: explicit .alpha. `unet` gives the block structure for kohya_sgm; without, SD's three layers a block are assumed.
void write_lora(const std::filesystem::path& path, const LoraFile& lora, LoraSpelling spelling, const LayerShapes* unet = nullptr);

// Keys and tensors of one spelling, as write_lora puts them into a file.
TensorMap lora_tensors(const LoraFile& lora, LoraSpelling spelling, const LayerShapes* unet = nullptr);
Metadata lora_metadata(const LoraFile& lora, LoraSpelling spelling);

// What the module adds to the layer's weight, float32 [out, in] or [out, in, kh, kw]. DoRA needs the layer's own weight:
// magnitude * (W + update) / norm(W + update) - W. UsageError when it is missing.
Tensor delta_weight(const LoraModule& module, const Tensor& weight = {});

// Largest difference between the two files' delta-W over the largest value of a's, over all modules; infinite when the modules are
// not the same. `worst` is given the module's name. DoRA's magnitudes are compared as a further tensor.
double compare_loras(const LoraFile& a, const LoraFile& b, std::string* worst = nullptr);

}  // namespace palate
