// Where alpha is kept when it is not a tensor. Private to adapters/.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "palate/io/json.h"

namespace palate {

class SafetensorsFile;

// peft's configuration of one file: in the metadata, under each component's prefix, or in adapter_config.json beside it.
class AlphaRule {
 public:
  // FormatError when either is there and is no JSON object.
  explicit AlphaRule(const SafetensorsFile& file);

  // 0 when nothing is said of it. With use_rslora the update is scaled by alpha / sqrt(rank), so alpha is given times sqrt(rank).
  // `alpha_pattern` as in peft: the first key that is the end of the module's name wins.
  double alpha(const std::string& component, const std::string& module, int64_t rank) const;
  double dropout() const;

 private:
  const Json* find(const std::string& component, const std::string& key) const;

  std::shared_ptr<const Json> config_;  // null when nothing is said
  std::string origin_;
  bool prefixed_ = false;
};

// One key of rank_pattern or alpha_pattern: the end of a name at a dot, or with ^ its whole; understands "\.", ".*" and "$" of regular
// expressions. UsageError for any other of their signs, which names `origin`.
bool matches_peft_pattern(const std::string& module, const std::string& pattern, const std::string& origin);

}  // namespace palate
