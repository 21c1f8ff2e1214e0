#include "palate/cli/flag_checks.h"

#include <charconv>
#include <limits>
#include <system_error>

#include "palate/core/error.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

template <class Number>
CLI::Validator between(const char* kind, Number low, Number high) {
  const auto check_text = [kind, low, high](std::string& text) -> std::string {
    Number value{};
    const char* first = text.data() + (text.starts_with('+') ? 1 : 0);
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(first, last, value);
    const bool good = error == std::errc() && end == last && value >= low && value <= high;
    return good ? "" : concat("expected a ", kind, " from ", low, " to ", high, ", found '", text, "'");
  };
  return {check_text, ""};
}

}  // namespace

CLI::Validator whole(int64_t low, int64_t high) { return between<int64_t>("whole number", low, high); }
CLI::Validator number(double low, double high) { return between<double>("number", low, high); }
CLI::Validator a_seed() { return whole(0, std::numeric_limits<int64_t>::max()); }
CLI::Validator a_thread_count() { return whole(0, 4096); }

void check_input(const std::string& flag, const fs::path& file) {
  std::error_code error;
  check<UsageError>(file.empty() || fs::exists(file, error), flag, " ", file.string(), ": there is no such file");
  check<UsageError>(!fs::is_directory(file, error), flag, " ", file.string(), ": expected a file, found a folder");
}

void check_parent(const fs::path& file) {
  std::error_code error;
  const fs::path folder = file.parent_path();
  check<UsageError>(folder.empty() || fs::is_directory(folder, error), file.string(), ": there is no folder ", folder.string(),
                    " to write it to");
}

}  // namespace palate
