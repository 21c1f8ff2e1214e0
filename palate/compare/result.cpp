#include "palate/compare/result.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "palate/core/error.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// "optimizer.lr = 0.001, now 0.002"
std::string first_difference(const std::string& before, const std::string& now) {
  const auto a = lines_of(before), b = lines_of(now);
  size_t i = 0;
  while (i < a.size() && i < b.size() && a[i] == b[i]) ++i;
  return concat(i < a.size() ? a[i] : "nothing", ", now ", i < b.size() ? b[i] : "nothing");
}

}  // namespace

std::optional<Json> read_result(const fs::path& folder) {
  if (!fs::exists(folder / "result.json")) return std::nullopt;
  return read_json(folder / "result.json");
}

std::optional<Json> read_result(const fs::path& folder, const std::string& settings) {
  auto result = read_result(folder);
  if (!result) return result;
  const std::string before = result->value("settings", "");
  check<UsageError>(before == settings, folder.string(), ": was made with other settings (", first_difference(before, settings),
                    "), and one table holds no mixture: name another output, or remove that folder to make it again");
  return result;
}

std::vector<double> scores_of(const Json& result, const std::string& judge, const std::string& part) {
  const Json& scores = result.at("scores").at(judge);
  std::vector<double> values;
  for (const auto& value : part.empty() ? scores.at("total") : scores.at("parts").at(part))
    values.push_back(value.is_null() ? std::nan("") : value.get<double>());
  return values;
}

void write_result(const fs::path& folder, const std::string& settings, const Json& result) {
  Json whole = result;
  whole["settings"] = settings;
  write_json(folder / "result.json", whole);
}

}  // namespace palate
