// Prompts to text states: one text encoder (SD1.x, SD2.x: its last states) or two (SDXL: the second to last states of both side by side,
// and the second's projected pooled text).
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "palate/models/denoiser.h"
#include "palate/models/registry.h"
#include "palate/models/text_encoder.h"
#include "palate/pipeline/model_folder.h"
#include "palate/text/clip_tokenizer.h"

namespace palate {

class PromptEncoder {
 public:
  // Loads nothing yet.
  PromptEncoder(const ModelFolder& folder, const LoadOptions& options);

  // Without gradients. text [B, L, D] in the options' dtype; for SDXL also text_embeds [B, P]. UsageError for no prompts.
  Condition encode(const std::vector<std::string>& prompts);

  // 0 is text_encoder with tokenizer, 1 is text_encoder_2 with tokenizer_2; loaded at first use.
  TextEncoder& encoder(size_t which);
  const ClipTokenizer& tokenizer(size_t which);
  std::vector<size_t> present() const;  // those that model_index.json names
  bool pooled() const { return folder_.has("text_encoder_2"); }
  void release() { encoders_ = {}; }

 private:
  TextStates states(size_t which, const std::vector<std::string>& prompts);
  Condition encode_few(const std::vector<std::string>& prompts);

  const ModelFolder& folder_;
  const LoadOptions& options_;
  std::array<std::unique_ptr<TextEncoder>, 2> encoders_;
  std::array<std::optional<ClipTokenizer>, 2> tokenizers_;
};

}  // namespace palate
