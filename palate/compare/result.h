// Finished runs on disk: FOLDER/result.json, there whole or not at all, with the settings that it was made with.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "palate/io/json.h"

namespace palate {

// What is there; nothing where the run is not finished. UsageError when it was made with other settings: what differs first is named.
std::optional<Json> read_result(const std::filesystem::path& folder, const std::string& settings);
// The same whatever it was made with.
std::optional<Json> read_result(const std::filesystem::path& folder);
// A judge's scores in a result, one a prompt: the totals, or of an attribute; NaN where there is none.
std::vector<double> scores_of(const Json& result, const std::string& judge, const std::string& part = "");
void write_result(const std::filesystem::path& folder, const std::string& settings, const Json& result);

}  // namespace palate
