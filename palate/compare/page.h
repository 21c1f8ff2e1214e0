// A comparison as one self-contained HTML page.
#pragma once

#include <string>

#include "palate/compare/runner.h"

namespace palate {

// `table` as compare_table gives it; curves and pictures are read from the runs' folders.
std::string compare_page(const CompareConfig& config, const CompareRunner& runner, const Json& table);

}  // namespace palate
