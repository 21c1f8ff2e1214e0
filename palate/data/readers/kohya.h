// The keys of kohya's dataset TOML: [general], [[datasets]], [[datasets.subsets]], where the lower level wins.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "palate/data/framing/buckets.h"

namespace palate {

struct KohyaSubset {
  std::filesystem::path image_dir;
  std::string class_tokens, caption_extension, caption_separator = ",", prefix, suffix;
  int64_t num_repeats = 1, keep_tokens = 0;
  bool shuffle_caption = false;
  bool is_reg = false;  // regularisation pictures: of the class, for prior preservation
  int64_t dataset = 0;  // which of [[datasets]] it is in, whose pictures it is to be as many as
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

// How often each regularisation picture comes in an epoch so that they are `wanted` in all, by sd-scripts' rule (DreamBoothDataset): the
// first ones by their own repeats as long as there is room, then one more of each in turn. Pictures past the result's end are not used.
std::vector<int64_t> prior_repeats(const std::vector<int64_t>& repeats, int64_t wanted);

// ConfigError with all mistakes, one a line, each with file and line: unknown keys with the nearest name, known keys that do
// not work here with the reason. What the file does not say is as in `config`.
KohyaFile read_kohya(const std::filesystem::path& path, const DataConfig& config);

}  // namespace palate
