// Whole loops against diffusers' schedulers: from noise, from a noised picture, and by name on other classes' configs
// (golden/make_diffusion_samplers.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "palate/diffusion/sampler.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

Tensor network(const test::GoldenFile& golden, const Tensor& x, const Tensor& t) {
  return 0.6 * x + golden.at("wave") * (0.2 + t.to(torch::kFloat32) / 1000);
}

}  // namespace

TEST_CASE("samplers: whole loops equal diffusers', with the sampler's own noise level, timesteps and late starts") {
  const test::GoldenFile golden("diffusion_samplers.safetensors");
  const Json cases = Json::parse(test::read_text(test::golden("diffusion_samplers.json")));
  REQUIRE(static_cast<int64_t>(cases.size()) == golden.at("noised").size(0));
  std::map<std::string, double> worst;  // by sampler, for PALATE_SHOW_WORST
  int64_t row = 0;
  for (size_t k = 0; k < cases.size(); ++k) {
    const Json& each = cases[k];
    INFO(each.dump());
    const int64_t rows = each["rows"].get<int64_t>(), begin = each.value("begin", int64_t{0});
    const auto sampler = make_sampler(each["name"].get<std::string>(), each["config"]);
    sampler->set_timesteps(each["count"].get<int64_t>());
    REQUIRE(sampler->timesteps().size(0) == begin + rows);
    const bool whole = each["whole"].get<bool>();
    REQUIRE((sampler->timesteps().scalar_type() == (whole ? torch::kInt64 : torch::kFloat32)));
    const Tensor told = sampler->timesteps().narrow(0, begin, rows).to(torch::kFloat64);
    test::expect_close("timesteps", told, golden.at("timesteps").narrow(0, row, rows), whole ? 0 : 1e-6);
    CHECK(sampler->init_noise_sigma() == doctest::Approx(golden.at("sigmas")[static_cast<int64_t>(k)].item<double>()).epsilon(1e-7));
    Tensor x = begin > 0 ? sampler->add_noise(golden.at("clean"), golden.at("noise")[-1], begin)
                         : golden.at("start") * sampler->init_noise_sigma();
    test::expect_close("beginning", x, golden.at("noised")[static_cast<int64_t>(k)], golden.bound("noised"));
    const std::string name = each["name"].get<std::string>().empty() ? each["config"]["_class_name"].get<std::string>() : "by name";
    for (int64_t i = 0; i < rows; ++i, ++row) {
      const int64_t index = begin + i;
      const Tensor predicted = network(golden, sampler->scale_model_input(x, index), sampler->timesteps()[index]);
      x = sampler->step(predicted, index, x, golden.at("noise")[index]);
      test::expect_close("step " + std::to_string(index), x, golden.at("samples")[row], golden.bound("samples", 5e-6));
      worst[name] = std::max(worst[name], test::relative_error(x, golden.at("samples")[row]));
    }
  }
  CHECK(row == golden.at("samples").size(0));
  if (std::getenv("PALATE_SHOW_WORST") == nullptr) return;
  for (const auto& [name, error] : worst) std::printf("%s %.2g\n", name.c_str(), error);
}
