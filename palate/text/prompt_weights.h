// Weights inside a prompt, in the syntax that users of web interfaces write: (word) 1.1, [word] 1/1.1, (word:1.3), nested, \( for a
// bracket.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace palate {

struct WeightedText {
  std::string text;
  double weight = 1;
};

// Equal to parse_prompt_attention of diffusers' community pipeline lpw_stable_diffusion. At least one piece; brackets that are not closed
// reach to the end. UsageError for a weight that is no number.
std::vector<WeightedText> parse_prompt_weights(std::string_view prompt);

}  // namespace palate
