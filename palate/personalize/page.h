// What a personalised model does, as one self-contained page.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "palate/io/json.h"
#include "palate/personalize/noise_distance.h"
#include "palate/personalize/sweep.h"

namespace palate {

struct PageContent {
  std::string title;
  std::vector<std::string> lines;  // what was done, a paragraph each
  std::string caution;             // of the judge, or that there is none
  // Columns in parts: of one model several weights, of a merge each way of merging.
  std::vector<std::pair<std::string, std::vector<Column>>> parts;
  int64_t pictures = 1;  // of each prompt
  std::vector<std::pair<std::string, std::vector<NoiseDistance>>> distances;
};

// FOLDER/report.html; returns its path.
std::filesystem::path write_page(const std::filesystem::path& folder, const PageContent& content);

Json to_json(const std::vector<NoiseDistance>& distance);

}  // namespace palate
