// A prompt as the tokens that a text encoder is given: one row, or several of a long prompt, with a weight for each token.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/text/clip_tokenizer.h"

namespace palate {

// How prompts are read. The default is diffusers': the text as it stands, cut to one row.
struct PromptStyle {
  bool weights = false;  // (word:1.2), [word] (text/prompt_weights.h)
  bool chunks = false;   // as many rows as the prompt needs, instead of cutting it
};

struct PromptTokens {
  std::vector<int64_t> ids;     // without start, end and padding
  std::vector<double> weights;  // one an id
  bool plain = true;            // all weights are 1
};

PromptTokens prompt_tokens(const ClipTokenizer& words, const std::string& prompt, const PromptStyle& style);

// Rows of `length` tokens that they fill, at least 1: each has a start, an end and length - 2 of them.
int64_t rows_of(const PromptTokens& tokens, int64_t length);

// [rows * length]: each row start, tokens, end, padding. What does not fit is cut.
std::vector<int64_t> padded_ids(const ClipTokenizer& words, const PromptTokens& tokens, int64_t rows, int64_t length);
std::vector<double> padded_weights(const PromptTokens& tokens, int64_t rows, int64_t length);  // 1 for start, end and padding

}  // namespace palate
