// Names of modules in one layout beside those in the other: CompVis' and Stability's (LDM, SGM), and diffusers'.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace palate {

enum class Layout : uint8_t { ldm, diffusers };

// All names and their beginnings up to a dot: "a.b.weight" -> a, a.b, a.b.weight. Asks what a model has.
class ModuleSet {
 public:
  explicit ModuleSet(const std::vector<std::string>& names);
  bool has(const std::string& module) const { return modules_.count(module) > 0; }
  int64_t count(const std::string& prefix) const;  // of PREFIX0, PREFIX1, ... without a gap

 private:
  std::unordered_set<std::string> modules_;
};

class KeyMap {
 public:
  // A module or a single tensor; what stands behind the module's name is the same in both layouts.
  void add(const std::string& ldm, const std::string& diffusers);
  // A name of layout `from` in the other; empty when it has no place there.
  std::optional<std::string> translate(const std::string& name, Layout from) const;

 private:
  std::unordered_map<std::string, std::string> to_diffusers_, to_ldm_;
};

// transformers' name of a tensor of CLIP's text tower: very old files, and transformers 5, lack the module's name before it.
std::string with_text_model(const std::string& name);

// From the modules that are there, in either layout, without the layout's prefix of the component ("model.diffusion_model.").
KeyMap unet_keys(const ModuleSet& modules, Layout layout);
KeyMap vae_keys(const ModuleSet& modules, Layout layout);
// OpenCLIP's text tower. Queries, keys and values, which it holds in one tensor, are not in it.
KeyMap open_clip_keys(const ModuleSet& modules, Layout layout);

}  // namespace palate
