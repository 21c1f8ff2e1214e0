#include "tests/support/expect_close.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "palate/io/safetensors.h"
#include "tests/support/paths.h"

namespace palate::test {

double relative_error(const Tensor& got, const Tensor& expected) {
  const Tensor a = got.detach().to(torch::kCPU, torch::kFloat64), b = expected.detach().to(torch::kCPU, torch::kFloat64);
  if (b.numel() == 0) return 0;
  const double scale = b.abs().max().item<double>();
  const double worst = (a - b).abs().max().item<double>();
  return scale > 0 ? worst / scale : worst;
}

void expect_close(const std::string& name, const Tensor& got, const Tensor& expected, double bound) {
  INFO(name, ": got ", show_shape(got.sizes()), ", expected ", show_shape(expected.sizes()));
  REQUIRE(got.sizes() == expected.sizes());
  const double error = relative_error(got, expected);
  INFO("relative error ", error, ", bound ", bound);
  CHECK(error <= bound);  // false for NaN too
}

void expect_equal(const std::string& name, const Tensor& got, const Tensor& expected) {
  INFO(name);
  REQUIRE(got.sizes() == expected.sizes());
  REQUIRE((got.scalar_type() == expected.scalar_type()));
  CHECK(torch::equal(got, expected));
}

std::map<std::string, Tensor> load_golden(const std::string& name) {
  const SafetensorsFile file(golden(name));
  std::map<std::string, Tensor> tensors;
  for (const auto& key : file.names()) tensors[key] = file.tensor(key).clone();
  return tensors;
}

}  // namespace palate::test
