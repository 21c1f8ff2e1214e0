// The embedded world's tokenizer: CLIP's own files in CLIP's own layout, with merges that build each of the world's words
// whole (and, for personalisation, a few rare words that no caption uses).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace palate::world {

constexpr int64_t token_count = 16;  // model_max_length

// In the order in which their merges were made: the order is part of the shipped model.
const std::vector<std::string>& vocabulary_words();

// The tokens by id: 256 byte letters, the same as word ends, one a merge, then start and end.
std::vector<std::string> tokenizer_vocabulary();

// Writes vocab.json, merges.txt, tokenizer_config.json and special_tokens_map.json. The end token
// also pads.
void write_tokenizer(const std::filesystem::path& folder);

}  // namespace palate::world
