#include <filesystem>

#include "palate/cli/command.h"

namespace palate {

std::string asset(const std::string& name) {
  std::error_code ignored;
  const auto installed = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path().parent_path() / "share/palate/assets";
  return (std::filesystem::is_directory(installed, ignored) ? installed / name : std::filesystem::path(PALATE_ASSETS) / name).string();
}

}  // namespace palate
