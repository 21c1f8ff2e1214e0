// Pictures of the class beside those that are to be learned (prior preservation, docs/objectives.md, section 10).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "palate/data/pairs.h"

namespace palate {

// The first pictures of `source` as such, each as often as it is wanted, their losses weighed; the others are not used.
std::unique_ptr<PairSource> as_prior(std::unique_ptr<PairSource> source, std::vector<int64_t> repeats, double weight);

// The pictures of `source`, and those of the folder, which bring no captions and are all asked for by `class_prompt`. Both come equally
// often in an epoch: the fewer ones are repeated, whole epochs of the learned ones at a time. UsageError for a folder without pictures.
std::unique_ptr<PairSource> with_prior(std::unique_ptr<PairSource> source, const std::filesystem::path& folder,
                                       const std::string& class_prompt, double weight);

}  // namespace palate
