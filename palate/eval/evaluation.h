// A finished comparison as files: eval.json (scores, win rates, sampling, hashes) and one picture strip a side, from
// which the report is drawn and which anyone can score again.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "palate/eval/paired.h"

namespace palate {

struct Evaluation {
  std::string judge;
  std::string caution;  // what a reader must know of the judge ("it also made the labels")
  double tie_margin = 0;
  uint64_t seed = 0;
  GenerateOptions sampling;
  std::vector<GenerateRequest> requests;
  std::vector<Side> sides;                    // the first is the base
  std::map<std::string, std::string> hashes;  // what was compared: "base unet" -> SHA-256

  // Every other side against the first.
  std::vector<Comparison> comparisons() const;
  Json to_json() const;
  // FOLDER/eval.json, FOLDER/SIDE.png (strips of `strip_columns` pictures) and FOLDER/sheet_SIDE.png.
  void save(const std::filesystem::path& folder) const;
};

constexpr int64_t strip_columns = 20;

// A table for the terminal: one line a side with win rate, interval, gain.
std::string show_comparisons(const Json& evaluation);

}  // namespace palate
