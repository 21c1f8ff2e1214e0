#include <filesystem>

#include "palate/cli/command.h"

namespace palate {

std::string asset(const std::string& name) {
  std::error_code ignored;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const auto installed = (program.parent_path() / PALATE_INSTALLED_ASSETS).lexically_normal();
  return (std::filesystem::is_directory(installed, ignored) ? installed / name : std::filesystem::path(PALATE_ASSETS) / name).string();
}

}  // namespace palate
