#include "palate/hub/choose.h"

#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <set>

namespace palate {
namespace {

// "model.fp16-00001-of-00002.safetensors", "diffusion_pytorch_model.safetensors.index.fp16.json"
struct WeightName {
  std::string variant, ending;
};

struct Place {
  std::string folder, name;
};

Place place_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? Place{"", path} : Place{path.substr(0, slash), path.substr(slash + 1)};
}

// Of a file that diffusers or transformers would load as a component's weights; nothing for any other.
std::optional<WeightName> weight_name(const std::string& name) {
  static const std::regex tensors("(?:model|pytorch_model|diffusion_pytorch_model)(.*)\\.(safetensors|bin)");
  static const std::regex index("(?:model|pytorch_model|diffusion_pytorch_model)\\.(safetensors|bin)\\.index(\\.[^.]+)?\\.json");
  static const std::regex shard("-[0-9]{5}-of-[0-9]{5}");
  std::smatch found;
  if (std::regex_match(name, found, index)) return WeightName{found[2].matched ? found[2].str().substr(1) : "", found[1]};
  if (!std::regex_match(name, found, tensors)) return std::nullopt;
  const std::string rest = std::regex_replace(found[1].str(), shard, "");
  if (!rest.empty() && rest.front() != '.') return std::nullopt;
  return WeightName{rest.empty() ? "" : rest.substr(1), found[2]};
}

std::string ending_of(const std::string& name) {
  const size_t dot = name.rfind('.');
  return dot == std::string::npos ? "" : name.substr(dot);
}

bool one_of_endings(const std::string& name, std::initializer_list<const char*> endings) {
  const std::string ending = ending_of(name);
  return std::any_of(endings.begin(), endings.end(), [&](const char* one) { return ending == one; });
}

bool is_pickle(const std::string& name) { return one_of_endings(name, {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}); }

bool is_of_no_use(const std::string& name) {
  return name == ".gitattributes" || one_of_endings(name, {".msgpack", ".h5", ".onnx", ".onnx_data", ".pb", ".ot", ".tflite", ".mlmodel",
                                                           ".gguf", ".xml", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp4"});
}

// variant -> endings, of one folder's weights
using Weights = std::map<std::string, std::set<std::string>>;

std::string listed(const std::set<std::string>& names) { return one_of(std::vector<std::string>(names.begin(), names.end())); }

// The variant that is taken from a folder.
std::string variant_for(const std::string& folder, const Weights& weights, const std::string& wanted) {
  if (weights.contains(wanted)) return wanted;
  if (weights.contains("")) return "";
  std::set<std::string> names;
  for (const auto& [variant, endings] : weights) names.insert(variant);
  check<UsageError>(names.size() == 1, folder.empty() ? "the weights" : folder, ": there are only variants: choose one with --variant ",
                    listed(names));
  return *names.begin();
}

class Choice {
 public:
  Choice(const std::vector<RepoFile>& files, const Json& index) : files_(files) {
    if (index.is_object()) {
      pipeline_ = true;
      // A component is a pair of library and class, null where it is left out.
      for (const auto& [name, value] : index.items()) {
        if (value.is_array() && value.size() == 2 && value[1].is_string()) components_.insert(name);
      }
    }
    for (const auto& file : files) {
      const auto [folder, name] = place_of(file.path);
      if (!may_hold(folder)) continue;
      if (const auto weight = weight_name(name)) weights_[folder][weight->variant].insert(weight->ending);
      if (name.ends_with(".safetensors")) with_safetensors_.insert(folder);
    }
  }

  std::vector<RepoFile> take(const std::string& variant) const {
    check_variant(variant);
    std::vector<RepoFile> chosen;
    for (const auto& file : files_) {
      if (takes(file.path, variant)) chosen.push_back(file);
    }
    return chosen;
  }

 private:
  bool may_hold(const std::string& folder) const { return !pipeline_ || components_.contains(folder); }

  void check_variant(const std::string& wanted) const {
    std::set<std::string> there;
    for (const auto& [folder, weights] : weights_) {
      for (const auto& [variant, endings] : weights) there.insert(variant.empty() ? "none" : variant);
    }
    check<UsageError>(wanted.empty() || there.contains(wanted), "--variant ", wanted,
                      ": no weights have this variant, found: ", there.empty() ? "no weights" : listed(there));
  }

  bool takes(const std::string& path, const std::string& variant) const {
    const auto [folder, name] = place_of(path);
    if (pipeline_ && folder.empty()) return name == "model_index.json";
    if (!may_hold(folder) || is_of_no_use(name)) return false;
    if (const auto weight = weight_name(name)) {
      const Weights& weights = weights_.at(folder);
      const std::string taken = variant_for(folder, weights, variant);
      return weight->variant == taken && weight->ending == (weights.at(taken).contains("safetensors") ? "safetensors" : "bin");
    }
    // Tensors under another name: a whole model in one file beside a pipeline is not its part; elsewhere it may be all there is.
    if (name.ends_with(".safetensors")) return !pipeline_;
    return !is_pickle(name) || (!pipeline_ && !with_safetensors_.contains(folder));
  }

  const std::vector<RepoFile>& files_;
  bool pipeline_ = false;
  std::set<std::string> components_, with_safetensors_;
  std::map<std::string, Weights> weights_;  // by folder
};

bool matches_any(const std::string& path, const std::vector<std::string>& globs) {
  return std::any_of(globs.begin(), globs.end(), [&](const std::string& glob) { return matches_glob(path, glob); });
}

}  // namespace

bool matches_glob(const std::string& path, const std::string& glob) {
  return fnmatch((glob.ends_with('/') ? glob + "*" : glob).c_str(), path.c_str(), FNM_NOESCAPE) == 0;
}

std::vector<RepoFile> choose_files(const std::vector<RepoFile>& files, const Json& index, RepoType type, const ChooseOptions& options) {
  std::vector<RepoFile> chosen = options.include.empty() && type == RepoType::model ? Choice(files, index).take(options.variant) : files;
  std::erase_if(chosen, [&](const RepoFile& file) {
    return (!options.include.empty() && !matches_any(file.path, options.include)) || matches_any(file.path, options.exclude);
  });
  check<UsageError>(!chosen.empty(), "none of the ", files.size(), " files is chosen", options.include.empty() ? "" : ": --include ",
                    options.include.empty() ? "" : options.include[0], files.empty() ? "" : " (one of them is '",
                    files.empty() ? "" : files[0].path, files.empty() ? "" : "')");
  return chosen;
}

}  // namespace palate
