// The subsets of a kohya dataset TOML as image folders.
#include <algorithm>
#include <cmath>

#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/data/readers/kohya.h"
#include "palate/data/readers/pair_files.h"
#include "palate/data/readers/prior.h"

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

struct Opened {
  KohyaSubset subset;
  std::unique_ptr<PairSource> source;
};

}  // namespace

std::vector<int64_t> prior_repeats(const std::vector<int64_t>& repeats, int64_t wanted) {
  std::vector<int64_t> found;
  int64_t count = 0;
  for (size_t i = 0; i < repeats.size() && count < wanted; ++i) {
    found.push_back(repeats[i]);
    count += repeats[i];
  }
  for (size_t i = 0; !found.empty() && count < wanted; i = (i + 1) % found.size(), ++count) ++found[i];
  return found;
}

namespace {

// The regularisation pictures of one dataset are made as many as its others.
void balance(std::vector<Opened>& all, int64_t dataset, const DataConfig& config) {
  int64_t wanted = 0;
  std::vector<int64_t> repeats;
  for (const auto& [subset, source] : all) {
    if (subset.dataset != dataset) continue;
    if (!subset.is_reg)
      wanted += source->rows() * subset.num_repeats;
    else
      repeats.insert(repeats.end(), static_cast<size_t>(source->rows()), subset.num_repeats);
  }
  const std::vector<int64_t> balanced = prior_repeats(repeats, wanted);
  if (balanced.size() < repeats.size())
    log_info("data.images: ", balanced.size(), " of ", repeats.size(),
             " regularisation pictures are used: there are no more of the others");
  size_t from = 0;
  for (auto& [subset, source] : all) {
    if (subset.dataset != dataset || !subset.is_reg) continue;
    const size_t to = std::min(balanced.size(), from + static_cast<size_t>(source->rows()));
    source = as_prior(
        std::move(source),
        std::vector<int64_t>(balanced.begin() + static_cast<std::ptrdiff_t>(from), balanced.begin() + static_cast<std::ptrdiff_t>(to)),
        config.prior_loss_weight);
    from = to;
  }
}

}  // namespace

SourceList open_kohya(const fs::path& path, const DataConfig& config) {
  const KohyaFile file = read_kohya(path, config);
  std::vector<Opened> all;
  for (const KohyaSubset& subset : file.subsets) {
    check<UsageError>(config.variants > 1 || (!subset.rule.flip && !subset.rule.random_crop), path.string(), ": ",
                      subset.rule.flip ? "flip_aug" : "random_crop",
                      " wants more than one view of each picture, and views are cached: set data.variants = ",
                      subset.rule.random_crop ? "4 or more" : "2");
    check<UsageError>(!subset.caption_separator.empty(), path.string(), ": caption_separator is empty");
    all.push_back({subset, open_image_folder(subset.image_dir, options_of(subset, config))});
  }
  const bool others = std::any_of(all.begin(), all.end(), [](const Opened& one) { return !one.subset.is_reg; });
  check<UsageError>(others, path.string(), ": every subset is_reg: expected at least one with the pictures that are to be learned");
  for (int64_t dataset = 1; dataset <= all.back().subset.dataset; ++dataset) balance(all, dataset, config);
  SourceList list;
  for (auto& one : all) list.push_back(std::move(one.source));
  if (file.caption_dropout_rate) {
    check<UsageError>(file.caption_dropout_rate->value == config.caption_dropout, file.caption_dropout_rate->where,
                      ": caption_dropout_rate is ", file.caption_dropout_rate->value, ", but the run's is ", config.caption_dropout,
                      ": set data.caption_dropout = ", file.caption_dropout_rate->value);
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
    check<UsageError>(!said || said->value == static_cast<double>(batch), said ? said->where : "", ": batch_size is ",
                      said ? said->value : 0, ", but the run's is ", batch, ": set train.batch = ", said ? said->value : 0);
  }
}

}  // namespace palate
