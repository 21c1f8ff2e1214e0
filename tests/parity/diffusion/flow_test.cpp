// Rectified flows against diffusers' FlowMatchEulerDiscreteScheduler (tests/golden/make_flow.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/diffusion/rectified_flow.h"
#include "tests/support/expect_close.h"

using namespace palate;

TEST_CASE("rectified flow: timesteps, noise levels, noised latents and a step equal diffusers'") {
  const auto golden = test::load_golden("flow.safetensors");
  const Tensor x0 = golden.at("x0"), noise = golden.at("noise"), rows = golden.at("rows");
  std::vector<double> drawn;
  for (int i = 1; i <= 1000; ++i) drawn.push_back(i);
  for (const int shift : {1, 3, 5}) {
    const std::string key = std::to_string(shift) + ".";
    const RectifiedFlow flow(Json{{"shift", shift}});
    const Tensor t = flow.timesteps(drawn);
    test::expect_equal("timesteps", t, golden.at(key + "timesteps"));
    test::expect_close("noise levels", flow.sigma(t), golden.at(key + "sigmas"), 1e-7);
    test::expect_close("noised", flow.add_noise(x0, noise, t.index_select(0, rows)), golden.at(key + "x_t"), 1e-6);
  }
  const RectifiedFlow flow(Json::object());
  const Tensor t = golden.at("1.timesteps").index_select(0, rows);
  const Tensor stepped = flow.step(flow.target(x0, noise, t), golden.at("1.x_t"), t, t / 2, 0).mean;
  test::expect_close("a step", stepped, golden.at("stepped"), 1e-6);
}
