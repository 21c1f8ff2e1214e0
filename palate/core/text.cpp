#include "palate/core/text.h"

namespace palate {

std::string lowered(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

std::string_view stripped(std::string_view text) {
  constexpr std::string_view white = " \t\r\n\f\v";
  const size_t begin = text.find_first_not_of(white);
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin, text.find_last_not_of(white) - begin + 1);
}

}  // namespace palate
