// A finished comparison as files: eval.json (scores, win rates, sampling, hashes) and contact sheets. The report is made of them and of the
// pictures, which stay on disk, where anyone can score them again.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "palate/eval/paired.h"

namespace palate {

struct Evaluation {
  Judges judges;
  std::string caution;  // what a reader must know of the judges ("it also made the labels")
  uint64_t seed = 0;
  std::optional<GenerateOptions> sampling;    // none where the pictures were there before
  std::vector<Side> sides;                    // the first is the base; pictures in one order
  std::map<std::string, std::string> hashes;  // what was compared: "base unet" -> SHA-256

  // Every other side against the first, by each judge; the first judge's come first.
  std::vector<Comparison> comparisons() const;
  // Writes FOLDER/eval.json and a FOLDER/sheet_SIDE.png by the first judge, and returns what eval.json holds.
  Json save(const std::filesystem::path& folder) const;
};

// How many pairs sheets and reports show.
constexpr int64_t shown_pairs = 30;

// A table for the terminal: one line a comparison with win rate, interval, gain.
std::string show_comparisons(const Json& evaluation);

}  // namespace palate
