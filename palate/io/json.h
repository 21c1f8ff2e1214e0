// JSON with the file's name and place in each error. The full library is included by .cpp files only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace palate {

using Json = nlohmann::ordered_json;

// FormatError: "vae/config.json:12:3: expected ..., found ...".
Json parse_json(std::string_view text, const std::string& origin);
// The same of one line of a longer file: "pairs.jsonl line 3, column 17: is not JSON: ...".
Json parse_json_line(std::string_view line, const std::string& origin);
// Of a whole file. Python's Infinity and -Infinity, which are not JSON, are read as 3e38 and -3e38.
Json read_json(const std::filesystem::path& path);
// Indented by two, keys in insertion order, one final newline: as diffusers writes its configs.
void write_json(const std::filesystem::path& path, const Json& value);

// One call a line, with the line's number (from 1); blank lines are skipped. FormatError names file and line.
void read_jsonl(const std::filesystem::path& path, const std::function<void(const Json& value, int64_t line)>& use);

}  // namespace palate
