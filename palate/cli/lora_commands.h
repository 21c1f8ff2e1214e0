// What `palate lora ACTION` was given, and its actions. Each is one function; errors are one sentence.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "palate/adapters/lora_file.h"
#include "palate/adapters/model_layers.h"

namespace palate {

struct LoraArguments {
  std::string action;
  std::vector<std::string> inputs;
  std::string to, model, out, only, against;
  int64_t rank = 0;
  double keep = 1;
  bool exact = false, json = false;
  // zip
  std::string content_prompt, style_prompt;
  int64_t steps = 100, pictures = 4, sample_steps = 25, threads = 0;
  double learning_rate = 5e-5, penalty = 0.01;
  uint64_t seed = 0;

  std::optional<ModelLayers> layers() const;  // of --model, if it was given
  LoraSpelling spelling() const;              // --to; diffusers' where it was not given
};

// Reads with the model's names if there is one, and refuses keys that have no home.
LoraFile read_whole_lora(const std::string& path, const std::optional<ModelLayers>& layers);

// Writes, reads again and compares every delta-W: an Error when one is not what was meant to be written.
void write_checked(const std::string& path, const LoraFile& lora, LoraSpelling spelling, const std::optional<ModelLayers>& layers);

// "COMPONENT 128, text_encoder 72"
std::string layers_in(const LoraFile& lora);

void inspect_lora(const LoraArguments& given);
void convert_lora(const LoraArguments& given);
void verify_lora(const LoraArguments& given);
void merge_loras(const LoraArguments& given);
void resize_lora_file(const LoraArguments& given);
void zip_lora_files(const LoraArguments& given);

}  // namespace palate
