// Prompts to text states, by as many text encoders as the pipeline's class has (pipeline_class.h).
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "palate/models/denoiser.h"
#include "palate/models/registry.h"
#include "palate/models/text_encoder.h"
#include "palate/pipeline/model_folder.h"
#include "palate/pipeline/pipeline_class.h"
#include "palate/pipeline/prompt_tokens.h"
#include "palate/text/clip_tokenizer.h"

namespace palate {

class PromptEncoder {
 public:
  // Loads nothing yet.
  PromptEncoder(const ModelFolder& folder, const PipelineClass& pipeline, const LoadOptions& options);

  // Without gradients. encoder_hidden_states [B, rows * L, D] in the options' dtype; for SDXL also text_embeds [B, P], of the first row.
  // Weighted tokens' states are multiplied, and then brought back to their mean. UsageError for no prompts.
  Condition encode(const std::vector<std::string>& prompts, int64_t rows = 1);

  Condition encode_here(const std::vector<std::string>& prompts, int64_t rows = 1);  // the same, with gradients unless they are off

  void set_style(const PromptStyle& style) { style_ = style; }
  // Rows of the encoder's length that the prompt needs; 1 unless the style says chunks.
  int64_t rows(const std::string& prompt);
  // A new word: "text_encoder" (and "text_encoder_2") -> [n, width]. UsageError where a text encoder of this model has no vectors of its
  // width.
  void add_word(const std::string& word, const std::map<std::string, Tensor>& vectors);
  // The word reads as that text, until forget_word.
  void read_as(const std::string& word, const std::string& text);
  void forget_word(const std::string& word);
  const std::string& readings() const { return readings_; }  // "" or what read_as was told: text states depend on it

  // 0 is text_encoder with tokenizer, 1 is text_encoder_2 with tokenizer_2; loaded at first use.
  TextEncoder& encoder(size_t which);
  const ClipTokenizer& tokenizer(size_t which);
  std::vector<size_t> present() const;         // those that the pipeline has
  static const char* component(size_t which);  // "text_encoder", "text_encoder_2"
  // Frees the encoders, unless somebody trains them.
  void release();
  void keep(bool on) { keep_ = on; }

 private:
  TextStates states(size_t which, const std::vector<PromptTokens>& prompts, int64_t rows);
  Condition encode_few(const std::vector<std::string>& prompts, int64_t rows);
  int64_t row_length(size_t which);
  void warn_of_cut(const std::string& prompt, int64_t tokens, int64_t most);  // once a prompt, and of the first few only

  const ModelFolder& folder_;
  const PipelineClass& pipeline_;
  const LoadOptions& options_;
  PromptStyle style_;
  bool keep_ = false;
  std::string readings_;
  std::set<std::string> cut_;  // prompts that were warned of
  std::array<std::unique_ptr<TextEncoder>, 2> encoders_;
  std::array<std::optional<ClipTokenizer>, 2> tokenizers_;
};

}  // namespace palate
