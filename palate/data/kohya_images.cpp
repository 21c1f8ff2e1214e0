// The subsets of a kohya dataset TOML as image folders.
#include <algorithm>
#include <cmath>

#include "palate/core/error.h"
#include "palate/data/kohya.h"
#include "palate/data/pair_files.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

FolderOptions options_of(const KohyaSubset& subset, const DataConfig& config) {
  FolderOptions options;
  options.caption = subset.class_tokens;
  options.caption_extension = subset.caption_extension;
  options.caption_column = config.caption_column;
  options.repeats = subset.num_repeats;
  options.recursive = options.concepts = false;
  options.prefix = subset.prefix;
  options.suffix = subset.suffix;
  options.separator = subset.caption_separator;
  options.keep_tokens = subset.keep_tokens;
  options.shuffle = subset.shuffle_caption;
  options.rule = std::make_shared<ImageRule>(subset.rule);
  return options;
}

}  // namespace

SourceList open_kohya(const fs::path& path, const DataConfig& config) {
  const KohyaFile file = read_kohya(path, config);
  SourceList list;
  for (const KohyaSubset& subset : file.subsets) {
    check<UsageError>(config.variants > 1 || (!subset.rule.flip && !subset.rule.random_crop), path.string(), ": ", subset.rule.flip ? "flip_aug" : "random_crop",
                      " wants more than one view of each picture, and views are cached: set data.variants = ", subset.rule.random_crop ? "4 or more" : "2");
    check<UsageError>(!subset.caption_separator.empty(), path.string(), ": caption_separator is empty");
    list.push_back(open_image_folder(subset.image_dir, options_of(subset, config)));
  }
  if (file.caption_dropout_rate) {
    check<UsageError>(file.caption_dropout_rate->value == config.caption_dropout, file.caption_dropout_rate->where, ": caption_dropout_rate is ", file.caption_dropout_rate->value,
                      ", but the run's is ", config.caption_dropout, ": set data.caption_dropout = ", file.caption_dropout_rate->value);
  }
  return list;
}

int64_t largest_side(const DataConfig& config) {
  int64_t side = config.images.empty() ? config.resolution : 0;
  for (const std::string& name : config.images) {
    if (lower_suffix(name) != ".toml") {
      side = std::max(side, config.resolution);
      continue;
    }
    for (const KohyaSubset& subset : read_kohya(name, config).subsets) {
      const auto [width, height] = subset.rule.resolution;
      side = std::max(side, static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(width * height)))));
    }
  }
  return side;
}

void check_batch_size(const DataConfig& config, int64_t batch) {
  for (const std::string& name : config.images) {
    if (lower_suffix(name) != ".toml") continue;
    const auto said = read_kohya(name, config).batch_size;
    check<UsageError>(!said || said->value == static_cast<double>(batch), said ? said->where : "", ": batch_size is ", said ? said->value : 0, ", but the run's is ", batch,
                      ": set train.batch = ", said ? said->value : 0);
  }
}

}  // namespace palate
