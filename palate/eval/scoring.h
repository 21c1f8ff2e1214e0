// Pictures scored by one or more judges, a batch at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "palate/core/hash.h"
#include "palate/io/manifest.h"
#include "palate/judge/judge.h"

namespace palate {

// Scores of pictures that come in batches. No batch is kept.
class ScoreTable {
 public:
  explicit ScoreTable(const Judges& judges) : judges_(judges), parts_(judges.size()) {}
  void add(const Tensor& pictures, const std::vector<std::string>& prompts);  // uint8 [B, 3, H, W]
  std::vector<Scores> scores() const;                                         // one for each judge, of all that was added

 private:
  const Judges& judges_;
  std::vector<std::vector<Scores>> parts_;  // by judge, then by batch
};

// UsageError when one of the judges cannot score such pictures.
void require_all(const Judges& judges, int64_t height, int64_t width, const std::vector<std::string>& prompts);

// The pictures of the set, read `batch` at a time (fewer where the size changes). The judges are asked about the first picture's size and
// all prompts before any is scored. `hash` is given the bytes of each file, in order.
std::vector<Scores> score_pictures(const PictureSet& pictures, const Judges& judges, int64_t batch, Hash* hash = nullptr);

// {"total": .., "colour": .., ...}: means over the pictures that have the score (NaN is left out).
Json mean_scores(const Scores& scores);

// {"name": .., "identity": .., "tie_margin": .. or null}
Json to_json(const Judge& judge);

// One line for each picture and judge: image, prompt, id and seed where they are known, judge, identity, total, parts. Atomic.
void write_scores(const std::filesystem::path& file, const PictureSet& pictures, const Judges& judges, const std::vector<Scores>& scores);

}  // namespace palate
