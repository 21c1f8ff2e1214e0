// A clone without git-lfs leaves small text files in place of large ones.
#pragma once

#include <string>
#include <string_view>

namespace palate {

// FormatError when `start`, the first bytes of the file `origin`, is such a text.
void refuse_lfs_pointer(std::string_view start, const std::string& origin);

}  // namespace palate
