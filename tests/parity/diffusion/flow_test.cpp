// Rectified flows against diffusers' FlowMatchEulerDiscreteScheduler (tests/golden/make_flow.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/diffusion/rectified_flow.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"

using namespace palate;

TEST_CASE("rectified flow: timesteps, noise levels, noised latents and a step equal diffusers'") {
  const test::GoldenFile golden("flow.safetensors");
  const Tensor x0 = golden.at("x0"), noise = golden.at("noise"), rows = golden.at("rows");
  std::vector<double> drawn;
  for (int i = 1; i <= 1000; ++i) drawn.push_back(i);
  for (const int shift : {1, 3, 5}) {
    const std::string key = std::to_string(shift) + ".";
    const RectifiedFlow flow(Json{{"shift", shift}});
    const Tensor t = flow.timesteps(drawn);
    test::expect_equal("timesteps", t, golden.at(key + "timesteps"));
    golden.expect(key + "sigmas", flow.sigma(t), 1e-7);
    golden.expect(key + "x_t", flow.add_noise(x0, noise, t.index_select(0, rows)));
  }
  const RectifiedFlow flow(Json::object());
  const Tensor t = golden.at("1.timesteps").index_select(0, rows);
  golden.expect("stepped", flow.step(flow.target(x0, noise, t), golden.at("1.x_t"), t, t / 2, 0).mean);
}
