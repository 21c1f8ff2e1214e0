#include "palate/models/weight_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "palate/core/error.h"
#include "palate/io/json.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

std::vector<fs::path> shards_of(const fs::path& folder, const fs::path& index) {
  const Json json = read_json(index);
  const bool mapped = json.is_object() && json.contains("weight_map") && json["weight_map"].is_object();
  check<FormatError>(mapped, index.string(), ": expected a 'weight_map' from tensor to file");
  std::set<std::string> shards;
  for (const auto& [name, file] : json["weight_map"].items()) {
    check<FormatError>(file.is_string(), index.string(), ": weight_map['", name, "'] is not a file name");
    const std::string shard = file.get<std::string>();
    const bool plain = !shard.empty() && shard.find_first_of("/\\") == std::string::npos && shard != "..";
    check<FormatError>(plain, index.string(), ": weight_map names '", shard, "', which is no plain file name");
    shards.insert(shard);
  }
  std::vector<fs::path> files;
  for (const auto& shard : shards) files.push_back(folder / shard);
  return files;
}

// The variants of STEM.VARIANT.safetensors and STEM.safetensors.index.VARIANT.json in a folder.
std::set<std::string> variants_in(const fs::path& folder, const std::string& stem) {
  std::set<std::string> variants;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder, missing)) {
    const std::string name = entry.path().filename().string();
    const std::string before = name.ends_with(".json") ? stem + ".safetensors.index." : stem + ".",
                      after = name.ends_with(".json") ? ".json" : ".safetensors";
    if (!name.starts_with(before) || !name.ends_with(after) || name.size() <= before.size() + after.size()) continue;
    const std::string variant = name.substr(before.size(), name.size() - before.size() - after.size());
    if (variant.find_first_of(".-") == std::string::npos) variants.insert(variant);
  }
  return variants;
}

// ": 'diffusion_pytorch_model.fp16.safetensors' is there" for another variant than the one that was asked for.
std::string what_is_there(const fs::path& folder, const std::string& stem) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string(), ending = entry.path().extension().string();
    if (name.starts_with(stem) && (ending == ".safetensors" || ending == ".bin")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names.empty() ? "no weights" : "no weights of this name but " + names[0] + ": choose its variant";
}

}  // namespace

std::vector<fs::path> weight_files(const fs::path& folder, const std::string& stem, const std::string& variant) {
  const std::string infix = variant.empty() ? "" : "." + variant;
  const std::string torch_stem = stem == "model" ? "pytorch_model" : stem;
  for (const auto& [name, ending] : {std::pair(stem, ".safetensors"), std::pair(torch_stem, ".bin")}) {
    const fs::path single = folder / (name + infix + ending), index = folder / (name + ending + ".index" + infix + ".json");
    if (fs::exists(single)) return {single};
    if (fs::exists(index)) return shards_of(folder, index);
  }
  if (const auto variants = variants_in(folder, stem); variant.empty() && variants.size() == 1)
    return weight_files(folder, stem, *variants.begin());
  fail<UsageError>(folder.string(), ": expected ", stem + infix + ".safetensors", ", found ", what_is_there(folder, stem));
}

}  // namespace palate
