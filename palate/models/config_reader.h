// Reads a model's config.json as the reference library does: a missing key takes the class default, unknown keys are
// tolerated, and an option that is not implemented here is refused by name and value instead of being ignored.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "palate/io/json.h"
#include "palate/nn/activation.h"

namespace palate {

class ConfigReader {
 public:
  ConfigReader(const Json& config, std::string origin);

  bool flag(const char* key, bool missing) const;
  int64_t whole(const char* key, int64_t missing) const;
  double number(const char* key, double missing) const;
  std::string text(const char* key, const std::string& missing) const;
  std::vector<std::string> texts(const char* key, const std::vector<std::string>& missing) const;
  // A number, or a list with one number a block: -> `count` numbers. UsageError for a list of another length.
  std::vector<int64_t> per_block(const char* key, int64_t missing, size_t count) const;
  std::vector<bool> flags_per_block(const char* key, bool missing, size_t count) const;
  std::vector<int64_t> wholes(const char* key, const std::vector<int64_t>& missing) const;
  bool absent(const char* key) const;  // missing or null

  Activation activation(const char* key, const std::string& missing, const std::vector<ActivationName>& known) const;  // any case

  // UsageError unless the key is missing or one of `allowed` (null is taken as missing, and named only if it is in there).
  void only(const char* key, const std::vector<Json>& allowed) const;

 private:
  const Json* find(const char* key) const;
  [[noreturn]] void wrong(const char* key, const char* expected) const;
  [[noreturn]] void refuse(const char* key, const std::vector<Json>& allowed) const;
  const Json& config_;
  std::string origin_;
};

}  // namespace palate
