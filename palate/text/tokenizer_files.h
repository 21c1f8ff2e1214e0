// The files of a CLIP tokenizer's folder, read and checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "palate/text/byte_pair.h"

namespace palate {

// A token that is found in the text itself, before any merge.
struct AddedToken {
  std::string content;
  int64_t id = 0;
  bool normalized = false;  // looked for in the normalised text (in any case), not in the text as given
};

struct TokenizerFiles {
  Vocabulary vocabulary;  // without added tokens that are not in vocab.json
  std::vector<Merge> merges;
  std::string merges_origin;  // the file that the merges were read from
  std::vector<AddedToken> added;
  int64_t start = 0, end = 0, pad = 0, unknown = 0;
  int64_t max_length = 77;  // model_max_length; 77 where the files say nothing
};

// vocab.json and merges.txt, or tokenizer.json where they are not there; named tokens from special_tokens_map.json over
// those of tokenizer_config.json (as transformers does while the latter has no added_tokens_decoder). A named token given
// as plain text is looked for in the text as given; one given with flags, as its `normalized` says.
// FormatError names the file, and for merges the line.
TokenizerFiles read_tokenizer_files(const std::filesystem::path& folder);

}  // namespace palate
