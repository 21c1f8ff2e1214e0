// Methods of papers as named points of the grid. One file a family (presets/), and one line of presets.cpp.
#pragma once

#include <string>
#include <vector>

namespace palate {

// The texts are for `palate explain`: sentences in plain ASCII, "\n" where a line must end.
struct Preset {
  std::string name;
  std::string summary;                 // one line, for palate list
  std::vector<std::string> overrides;  // "objective.loss=dpo": what --preset sets
  std::string formula;                 // what is minimised
  std::string sources;                 // the paper, the code that was read, and where a constant is from neither
  std::string pitfalls;                // what is known to go wrong
};

const std::vector<Preset>& all_presets();

// UsageError names the nearest for an unknown name.
const Preset& find_preset(const std::string& name);

}  // namespace palate
