#include "palate/hub/model_path.h"

#include "palate/core/error.h"
#include "palate/hub/cache.h"
#include "palate/hub/environment.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

bool is_there(const fs::path& given) {
  std::error_code ignored;
  return fs::exists(given, ignored);
}

bool is_from_hub(const fs::path& given) { return !is_there(given) && names_repo(given.string()); }

}  // namespace

fs::path model_path(const fs::path& given) {
  if (!is_from_hub(given)) {
    check<UsageError>(is_there(given), given.empty() ? "''" : given.string(), ": there is no such folder or file",
                      given.is_relative() ? " (looked in " + fs::current_path().string() + ")" : "");
    return given;
  }
  const fs::path cache = hub_cache();
  const auto found = find_snapshot(cache, parse_repo(given.string()));
  check<UsageError>(found.has_value(), given.string(), ": there is no such folder (looked in ", fs::current_path().string(),
                    "), and no such repository in the Hugging Face cache at ", cache.string(), ": 'palate pull ", given.string(),
                    "' fetches it");
  return found->folder;
}

std::string model_commit(const fs::path& given) {
  if (!is_from_hub(given)) return "";
  const auto found = find_snapshot(hub_cache(), parse_repo(given.string()));
  return found ? found->commit : "";
}

}  // namespace palate
