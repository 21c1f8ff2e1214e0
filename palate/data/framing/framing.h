// From a record to the views that the autoencoder gets: every variant's crop and flip of its one or two pictures.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "palate/core/tensor.h"
#include "palate/data/framing/buckets.h"
#include "palate/data/framing/transform.h"
#include "palate/data/pairs.h"

namespace palate {

struct Views {
  std::string origin;
  std::vector<Tensor> images;   // the winner's variants, then the loser's if there is one; uint8 [3, h, w], all of one size
  std::vector<float> time_ids;  // [V, 6]
  std::string bucket;           // CachedRow::bucket
};

class Framing {
 public:
  // `side`: of the square that the model was made for; `factor`: pixels per latent. UsageError for sizes that do not fit it.
  Framing(const DataConfig& config, int64_t side, int64_t factor);

  // FormatError for a broken picture, DataError for one that fits no bucket. Both pictures of a pair get the bucket of the
  // smaller one, whose time ids they share too: they share noise, so they must have one shape, and choosing by size alone
  // tells nothing about which of them won. Threads may share it.
  Views views(const PairRecord& record);
  int64_t side() const { return side_; }                                     // of the config's square
  int64_t row_bytes() const { return 6 * largest_ * largest_ * variants_; }  // of a pair's views, at most

 private:
  struct Rule {
    ImageRule rule;
    Buckets buckets;
  };
  const Rule& rule_of(const PairRecord& record);
  Rule checked(ImageRule rule, const std::string& key) const;
  CropPlace place_of(const PairRecord& record, const ImageRule& rule, int64_t variant) const;

  int64_t model_side_, side_ = 0, largest_ = 0, factor_, variants_;
  std::unique_ptr<Rule> config_rule_;
  std::map<std::shared_ptr<const ImageRule>, Rule> rules_;  // of records with rules of their own
  std::mutex mutex_;                                        // of rules_
};

}  // namespace palate
