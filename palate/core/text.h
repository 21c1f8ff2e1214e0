// Text as files and people write it.
#pragma once

#include <string>
#include <string_view>

namespace palate {

std::string lowered(std::string text);             // ASCII letters alone
std::string_view stripped(std::string_view text);  // without white space at its ends, as Python's strip (ASCII)

}  // namespace palate
