#include "palate/data/framing/framing.h"

#include <torch/types.h>

#include <algorithm>

#include "palate/core/error.h"
#include "palate/io/image.h"

namespace palate {
namespace {

ImageSize size_of(const Tensor& image) { return {image.size(2), image.size(1)}; }

}  // namespace

Framing::Framing(const DataConfig& config, int64_t side, int64_t factor) : model_side_(side), factor_(factor), variants_(config.variants) {
  config_rule_ = std::make_unique<Rule>(checked(config_rule(config), "data."));
  side_ = config_rule_->rule.resolution.width;
  largest_ = std::max(side_, largest_side(config));
}

Framing::Rule Framing::checked(ImageRule rule, const std::string& key) const {
  if (rule.resolution.width == 0) rule.resolution = {model_side_, model_side_};
  struct Side {
    bool counts;
    const char* name;
    int64_t pixels;
  };
  const bool sides = rule.buckets && !rule.no_upscale;
  for (const auto& [counts, name, pixels] :
       {Side{!rule.buckets, "resolution", rule.resolution.width}, Side{!rule.buckets, "resolution", rule.resolution.height},
        Side{rule.buckets, "bucket_reso_steps", rule.step}, Side{sides, "min_bucket_reso", rule.min_side},
        Side{sides, "max_bucket_reso", rule.max_side}}) {
    check<UsageError>(!counts || pixels % factor_ == 0, key, name, " is ", pixels, ", expected a multiple of ", factor_,
                      ", the pixels per latent of this model's autoencoder");
  }
  return {rule, Buckets(rule)};
}

const Framing::Rule& Framing::rule_of(const PairRecord& record) {
  if (!record.rule) return *config_rule_;
  const std::lock_guard hold(mutex_);
  const auto found = rules_.find(record.rule);
  return found != rules_.end() ? found->second : rules_.emplace(record.rule, checked(*record.rule, record.origin + ": ")).first->second;
}

CropPlace Framing::place_of(const PairRecord& record, const ImageRule& rule, int64_t variant) const {
  if (!rule.kohya && record.kind != PairRecord::Kind::single)
    return crop_place(record.id, variant, rule.random_crop ? "random" : "center", rule.flip);
  CropPlace place = crop_place(record.id, variant, rule.random_crop ? "random" : "center", false);
  // Variants in turn are as the file has them and mirrored, so that both are there whatever is drawn.
  if (rule.flip) place.flip = (variants_ > 1 ? variant % 2 == 1 : crop_place(record.id, 0, "center", true).flip);
  return place;
}

Views Framing::views(const PairRecord& record) {
  const auto& [rule, buckets] = rule_of(record);
  const bool plain = !rule.buckets && !rule.kohya;
  std::vector<Tensor> pictures = {decode_image(record.win, concat(record.origin, ": ", record.win_name))};
  if (record.kind != PairRecord::Kind::single) pictures.push_back(decode_image(record.lose, concat(record.origin, ": ", record.lose_name)));
  size_t least = 0;
  if (pictures.size() == 2 && smaller(size_of(pictures[1]), size_of(pictures[0]))) least = 1;
  std::vector<Fit> fits(pictures.size(), Fit{{}, rule.resolution});
  try {
    if (!plain) fits[least] = buckets.fit(size_of(pictures[least]));
  } catch (const DataError& error) {
    fail<DataError>(record.origin, ": ", error.what());
  }
  const ImageSize target = fits[least].target;
  if (!plain && pictures.size() == 2) fits[1 - least] = Buckets::cover(size_of(pictures[1 - least]), target);
  Views found{record.origin, {}, {}, plain ? "" : concat(".", target.height / factor_, "x", target.width / factor_)};
  for (size_t i = 0; i < pictures.size(); ++i) {
    for (int64_t v = 0; v < variants_; ++v) {
      const CropPlace place = place_of(record, rule, v);
      found.images.push_back(plain ? crop_square(pictures[i], target.width, place) : cut(pictures[i], fits[i], place));
    }
  }
  for (int64_t v = 0; v < variants_; ++v) {
    const CropPlace place = place_of(record, rule, v);
    const ImageSize size = size_of(pictures[least]);
    const auto ids =
        time_ids_of(plain ? crop_box(size.height, size.width, target.width, place) : fit_box(size, fits[least], place), target);
    found.time_ids.insert(found.time_ids.end(), ids.begin(), ids.end());
  }
  return found;
}

}  // namespace palate
