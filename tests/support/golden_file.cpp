#include "tests/support/golden_file.h"

#include <torch/types.h>

#include <algorithm>
#include <string>

#include "palate/core/error.h"
#include "palate/io/safetensors.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

namespace palate::test {

GoldenFile::GoldenFile(const std::string& name) : values_(load_golden(name)) {
  const SafetensorsFile file(golden(name));
  for (const auto& [key, error] : file.metadata()) {
    if (key != "format") errors_[key] = std::stod(error);
  }
}

const Tensor& GoldenFile::at(const std::string& key) const {
  const auto found = values_.find(key);
  check<FormatError>(found != values_.end(), "no '", key, "' in this golden file: run its script in tests/golden again");
  return found->second;
}

double GoldenFile::bound(const std::string& key, double own) const {
  const auto found = errors_.find(key);
  return found == errors_.end() ? own : std::max(own, slack * found->second);
}

bool GoldenFile::close(const std::string& key, const Tensor& got, double own) const {
  return relative_error(got, at(key)) <= bound(key, own);
}

void GoldenFile::expect(const std::string& key, const Tensor& got, double own) const { expect_close(key, got, at(key), bound(key, own)); }

}  // namespace palate::test
