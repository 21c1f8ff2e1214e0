// A run folder, or a folder of runs with an evaluation, as one self-contained report.html.
#pragma once

#include <filesystem>
#include <string>

namespace palate {

// Reads what is there: eval.json and the pictures that it names, metrics.jsonl and config.resolved.toml of the folder and of the runs
// directly below it, samples/. UsageError when the folder holds nothing to report. Returns the page's path.
std::filesystem::path write_report(const std::filesystem::path& folder, const std::string& title = "");

}  // namespace palate
