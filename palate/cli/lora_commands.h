// What `palate lora ACTION` was given, and its actions. Each is one function; errors are one sentence.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/adapters/zip_lora.h"
#include "palate/pipeline/pipeline_loras.h"

namespace palate {

struct LoraArguments {
  std::string action;
  std::vector<std::string> inputs;
  std::string to, model, out, only, against;
  int64_t rank = 0, threads = 0;
  double keep = 1;
  bool exact = false, json = false;
  std::string content_prompt, style_prompt;
  ZipOptions zip;
  ZipPictures pictures;
};

void inspect_lora(const LoraArguments& given);
void convert_lora(const LoraArguments& given);
void verify_lora(const LoraArguments& given);
void merge_loras(const LoraArguments& given);
void resize_lora_file(const LoraArguments& given);
void zip_lora_files(const LoraArguments& given);

}  // namespace palate
