#include "palate/cli/parse_error.h"

#include <regex>
#include <sstream>

#include "palate/core/error.h"

namespace palate {
namespace {

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

// CLI11's sentence with the flag's name in it, as its version 2 words them; another sentence stays as it is.
std::string reworded(const std::string& text) {
  std::smatch found;
  const auto says = [&](const char* pattern) { return std::regex_match(text, found, std::regex(pattern)); };
  if (says("(.*): At Most 1 required.*")) return found.str(1) + " is given more than once: keep one";
  if (says("(.*): 1 required .*missing")) return found.str(1) + ": expected a value after it, found none";
  if (says("(.*): Value (.*) not in range (.*) to (.*)"))
    return concat(found.str(1), ": expected a number from ", found.str(3), " to ", found.str(4), ", found '", found.str(2), "'");
  if (says("(.*) requires (.*)")) return found.str(1) + " goes with " + found.str(2) + ", which is not given";
  if (says("(.*) excludes (.*)")) return found.str(1) + " does not go with " + found.str(2) + ": keep one of them";
  if (says("(.*?): (.*) not in \\{(.*)\\}")) {
    const std::vector<std::string> known = split_at_commas(found.str(3));
    return concat(found.str(1), ": expected ", one_of(known), ", found '", found.str(2), "'", did_you_mean(found.str(2), known));
  }
  return text;
}

}  // namespace

std::string parse_error(const std::string& command, const CLI::ParseError& error, const std::vector<std::string>& rest) {
  std::string text = reworded(error.what());
  if (dynamic_cast<const CLI::ExtrasError*>(&error)) {
    text = "expected no more arguments, found";
    for (const auto& word : rest) text += " '" + word + "'";
  }
  return concat(command, command.empty() ? "" : ": ", text, "; palate ", command, command.empty() ? "" : " ", "--help shows what it takes");
}

}  // namespace palate
