// Textual-inversion embeddings: new words for a text encoder's table, as files.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "palate/core/tensor.h"

namespace palate {

struct TextualInversion {
  std::string token;                      // "<cat-toy>"
  std::map<std::string, Tensor> vectors;  // "text_encoder" (and "text_encoder_2" of SDXL) -> [vectors, width]
};

// Safetensors or torch.save's files: diffusers' {"<token>": [d] or [n, d]}; SDXL's {"clip_l": ..., "clip_g": ...}; {"emb_params": ...} and
// {"string_to_param": {"*": ...}} of other programs. Where the file names no token, it is the file's name. FormatError for anything else,
// and for values that are not finite.
TextualInversion read_textual_inversion(const std::filesystem::path& path);

// As diffusers reads it: {token: [n, d]}, or clip_l and clip_g where there are two encoders (the token then is in the metadata alone).
void write_textual_inversion(const std::filesystem::path& path, const TextualInversion& embedding);

}  // namespace palate
