// CLIP's tokenizer as the files of a diffusers folder, from its merges alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace palate {

// Writes vocab.json, merges.txt, special_tokens_map.json and tokenizer_config.json into a new folder. `merges` is a merges.txt; `pad` is
// "<|endoftext|>", or "!" for the towers of OpenCLIP. -> the number of tokens.
int64_t write_clip_tokenizer(const std::filesystem::path& folder, const std::filesystem::path& merges, const std::string& pad);

}  // namespace palate
