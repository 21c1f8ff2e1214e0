// Which of a repository's files a pull fetches.
#pragma once

#include <string>
#include <vector>

#include "palate/hub/listing.h"

namespace palate {

struct ChooseOptions {
  std::string variant;                        // "fp16"
  std::vector<std::string> include, exclude;  // globs over the whole path, as Python's fnmatch has them: * takes slashes too
};

// With `include`: the files that match one of the globs, and no others. Without, of a model: weights once (the wanted variant where a
// folder has it; safetensors rather than torch's pickles), configs and vocabularies, and no pictures or weights of other frameworks;
// where `index` (model_index.json, else null) names components, their folders and itself only, as diffusers does. Of a data set: all.
// UsageError when nothing is left, or when no folder has the variant.
std::vector<RepoFile> choose_files(const std::vector<RepoFile>& files, const Json& index, RepoType type, const ChooseOptions& options);

bool matches_glob(const std::string& path, const std::string& glob);

}  // namespace palate
