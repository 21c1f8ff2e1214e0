#include "palate/io/lfs_pointer.h"

#include "palate/core/error.h"

namespace palate {

void refuse_lfs_pointer(std::string_view start, const std::string& origin) {
  check<FormatError>(!start.starts_with("version https://git-lfs"), origin,
                     ": is a Git LFS pointer, not the file itself: run 'git lfs pull' in that folder, or download the file");
}

}  // namespace palate
