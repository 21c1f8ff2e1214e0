// CLIP's vocabulary, and its tokenizer as the files of a diffusers folder, from the merges alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace palate {

inline constexpr const char *clip_start = "<|startoftext|>", *clip_end = "<|endoftext|>";
using MergePairs = std::vector<std::pair<std::string, std::string>>;

// The tokens by id: 256 byte symbols, the same as word ends, what each merge gives (once), then start and end.
std::vector<std::string> clip_vocabulary(const MergePairs& merges);

// Writes vocab.json, merges.txt, special_tokens_map.json and tokenizer_config.json into a new folder. `merges` is a merges.txt; `pad` is
// "<|endoftext|>", or "!" for the towers of OpenCLIP. -> the number of tokens.
int64_t write_clip_tokenizer(const std::filesystem::path& folder, const std::filesystem::path& merges, const std::string& pad);

}  // namespace palate
