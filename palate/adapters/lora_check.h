// LoRA files that one can trust: read whole, written and read again, verified against a model; and what one holds, in numbers.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "palate/adapters/lora_file.h"
#include "palate/io/json.h"

namespace palate {

// Reads with the model's names where there is one. UsageError for keys that have no home in it, or in Stable Diffusion 1, 2 and XL.
LoraFile read_whole_lora(const std::filesystem::path& path, const ModelLayers* model = nullptr);

// Writes, reads again and compares every delta-W: an Error when one is not what was meant to be written.
void write_checked_lora(const std::filesystem::path& path, const LoraFile& lora, LoraSpelling spelling, const ModelLayers* model = nullptr);

// Each spelling that can say what this LoRA says.
std::vector<LoraSpelling> spellings_for(const LoraFile& lora);

// Error when a key has no home in the model, a component is not the model's, a value is not finite, or a delta-W is another one after it
// was written in one of spellings_for() and read again. `name`: the model's, for messages.
void verify_lora(const LoraFile& lora, const ModelLayers& model, const std::string& name);

// "unet 128, text_encoder 72": layers.
std::string count_layers(const LoraFile& lora);

// {"file", "spelling", "components": {NAME: {"layers", "ranks", "alphas", "dtypes", "delta_norm"[, "dora_layers"]}}, "homeless",
// "metadata"}; ranks and alphas with how many layers have each.
Json describe_lora(const LoraFile& lora);

}  // namespace palate
