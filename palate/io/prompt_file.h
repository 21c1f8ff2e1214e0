// Prompts in a text file.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace palate {

// One prompt a line: a byte order mark, ends of lines as Windows writes them and empty lines are passed over. UsageError for a
// file that is missing, holds no prompt, or a line that is not UTF-8 (the line is named).
std::vector<std::string> read_prompt_file(const std::filesystem::path& file);

}  // namespace palate
