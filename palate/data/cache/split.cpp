#include "palate/data/cache/split.h"

#include <algorithm>

#include "palate/core/generator.h"

namespace palate {

std::string normal_prompt(std::string_view prompt) {
  std::string text;
  for (const char c : prompt) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (!space) text += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (space && !text.empty() && text.back() != ' ') text += ' ';
  }
  if (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

std::vector<bool> hold_out(const std::vector<std::string>& prompts, double share, uint64_t seed) {
  std::vector<bool> held(prompts.size(), false);
  if (share <= 0 || prompts.empty()) return held;
  std::vector<double> draws;
  for (const std::string& prompt : prompts) {
    draws.push_back(Generator({seed, stable_hash(normal_prompt(prompt)), 0, Purpose::split}).uniform());
  }
  const auto [lowest, highest] = std::minmax_element(draws.begin(), draws.end());
  if (*lowest == *highest) return held;  // one prompt only
  for (size_t i = 0; i < prompts.size(); ++i) held[i] = (draws[i] < share || draws[i] == *lowest) && draws[i] != *highest;
  return held;
}

}  // namespace palate
