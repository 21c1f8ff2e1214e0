#include "palate/pipeline/prompt_tokens.h"

#include <algorithm>

#include "palate/text/prompt_weights.h"

namespace palate {

PromptTokens prompt_tokens(const ClipTokenizer& words, const std::string& prompt, const PromptStyle& style) {
  PromptTokens all;
  const std::vector<WeightedText> pieces = style.weights ? parse_prompt_weights(prompt) : std::vector<WeightedText>{{prompt, 1}};
  for (const auto& piece : pieces) {
    const auto ids = words.tokens(piece.text);
    all.ids.insert(all.ids.end(), ids.begin(), ids.end());
    all.weights.insert(all.weights.end(), ids.size(), piece.weight);
    all.plain = all.plain && (ids.empty() || piece.weight == 1);
  }
  return all;
}

int64_t rows_of(const PromptTokens& tokens, int64_t length) {
  return std::max<int64_t>(1, (static_cast<int64_t>(tokens.ids.size()) + length - 3) / (length - 2));
}

std::vector<int64_t> padded_ids(const ClipTokenizer& words, const PromptTokens& tokens, int64_t rows, int64_t length) {
  std::vector<int64_t> ids;
  for (int64_t row = 0; row < rows; ++row) {
    const auto framed = words.framed(tokens.ids, static_cast<size_t>(row * (length - 2)), length);
    ids.insert(ids.end(), framed.begin(), framed.end());
  }
  return ids;
}

std::vector<double> padded_weights(const PromptTokens& tokens, int64_t rows, int64_t length) {
  std::vector<double> weights(static_cast<size_t>(rows * length), 1.0);
  const auto inside = static_cast<size_t>(length - 2);
  for (size_t i = 0; i < std::min(tokens.weights.size(), static_cast<size_t>(rows) * inside); ++i) {
    weights[i / inside * static_cast<size_t>(length) + 1 + i % inside] = tokens.weights[i];
  }
  return weights;
}

}  // namespace palate
