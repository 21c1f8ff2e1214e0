#include "palate/cli/lora_flags.h"

#include <charconv>
#include <cmath>

#include "palate/core/error.h"

namespace palate {

LoraChoice parse_lora_flag(const std::string& text, const std::string& where) {
  LoraChoice choice{text, 1};
  if (std::filesystem::exists(choice.file)) return choice;
  const size_t colon = text.rfind(':');
  if (colon != std::string::npos) {
    const char* first = text.data() + colon + 1;
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(first, last, choice.weight);
    check<UsageError>(error == std::errc() && end == last, where, " ", text, ": expected FILE or FILE:WEIGHT, and '",
                      std::string(first, last), "' is not a number");
    check<UsageError>(std::isfinite(choice.weight), where, " ", text, ": the weight must be a finite number");
    choice.file = text.substr(0, colon);
  }
  check<UsageError>(std::filesystem::exists(choice.file), where, " ", choice.file.string(), ": there is no such file");
  return choice;
}

std::vector<LoraChoice> parse_lora_flags(const std::vector<std::string>& texts) {
  std::vector<LoraChoice> choices;
  for (const auto& text : texts) choices.push_back(parse_lora_flag(text));
  return choices;
}

}  // namespace palate
