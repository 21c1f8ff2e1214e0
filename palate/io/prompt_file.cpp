#include "palate/io/prompt_file.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "palate/io/json.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

bool is_utf8(const std::string& text) {
  try {
    (void)Json(text).dump();
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

}  // namespace

std::vector<std::string> read_prompt_file(const fs::path& file) {
  std::error_code error;
  check<UsageError>(fs::exists(file, error), file.string(), ": there is no such file of prompts");
  check<UsageError>(!fs::is_directory(file, error), file.string(), ": expected a file with one prompt a line, found a folder");
  const std::string text = read_file(file);
  std::vector<std::string> prompts;
  int64_t number = 0;
  for (size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.ends_with('\r')) line.pop_back();
    check<UsageError>(is_utf8(line), file.string(), ":", number, ": is not UTF-8 text: save the file as UTF-8");
    if (line.find_first_not_of(" \t") != std::string::npos) prompts.push_back(std::move(line));
  }
  check<UsageError>(!prompts.empty(), file.string(), ": expected one prompt a line, found none");
  return prompts;
}

}  // namespace palate
