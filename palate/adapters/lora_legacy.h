// The oldest LoRA files (.pt of torch.save): a bare list [up, down, up, down, ...] without names, in the order of a walk through the
// attention layers. Private to adapters/.
#pragma once

#include <filesystem>
#include <vector>

#include "palate/adapters/lora_file.h"

namespace palate {

// Whether these are the names that TensorFile gives to a bare list: 0, 1, 2, ...
bool is_legacy_list(const std::vector<std::string>& names);

// Of a U-Net: 16 transformers of SD1.x or SD2.x, each with the four projections of attn1 and of attn2; of a text encoder: k, v, q and out
// of each layer. Which of the two it is, and whether the middle block goes before the up blocks, is told by the shapes. alpha is the rank.
// UsageError when the list is neither.
LoraFile read_legacy_list(const std::filesystem::path& path);

}  // namespace palate
