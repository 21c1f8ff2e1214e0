// The keys of kohya's dataset TOML: [general], [[datasets]], [[datasets.subsets]], where the lower level wins.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "palate/data/buckets.h"

namespace palate {

struct KohyaSubset {
  std::filesystem::path image_dir;
  std::string class_tokens, caption_extension, caption_separator = ",", prefix, suffix;
  int64_t num_repeats = 1, keep_tokens = 0;
  bool shuffle_caption = false;
  ImageRule rule;
};

struct KohyaFile {
  std::vector<KohyaSubset> subsets;
  // What the file says of things that stand in the run's own config here, and where; nothing where it is silent.
  struct Said {
    double value;
    std::string where;
  };
  std::optional<Said> batch_size, caption_dropout_rate;
};

// ConfigError with all mistakes, one a line, each with file and line: unknown keys with the nearest name, known keys that do
// not work here with the reason. What the file does not say is as in `config`.
KohyaFile read_kohya(const std::filesystem::path& path, const DataConfig& config);

}  // namespace palate
