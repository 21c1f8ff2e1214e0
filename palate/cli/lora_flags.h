// FILE[:WEIGHT], as --lora takes it, as often as one likes.
#pragma once

#include <string>
#include <vector>

#include "palate/adapters/lora_parts.h"

namespace palate {

// "style.safetensors:0.8". A path that exists as it stands is never cut. UsageError when the file is missing or the weight is no finite
// number; `where` says what was typed ("--lora", "lora merge").
LoraChoice parse_lora_flag(const std::string& text, const std::string& where = "--lora");
std::vector<LoraChoice> parse_lora_flags(const std::vector<std::string>& texts);

}  // namespace palate
