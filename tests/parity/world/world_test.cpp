// The renderer and the oracle against the same rules written in NumPy (tests/golden/make_world.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/io/image.h"
#include "palate/io/json.h"
#include "palate/world/caption.h"
#include "palate/world/oracle.h"
#include "palate/world/render.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

void expect_verdicts(const Json& expected, const Tensor& pictures) {
  REQUIRE(static_cast<int64_t>(expected.size()) == pictures.size(0));
  for (size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    const Json& want = expected[i];
    const auto scene = world::parse_caption(want["caption"].get<std::string>());
    const auto seen = world::look(pictures[static_cast<int64_t>(i)]);
    const auto got = world::verdict(scene, seen);
    CHECK(static_cast<int>(seen.patches.size()) == want["patches"].get<int>());
    CHECK(seen.background == want["ground"].get<int>());
    CHECK(got.acc == doctest::Approx(want["acc"].get<double>()).epsilon(1e-12));
    CHECK(got.strict == want["strict"].get<double>());
    CHECK(got.appeal == doctest::Approx(want["appeal"].get<double>()).epsilon(1e-5));
    CHECK(got.iou == doctest::Approx(want["iou"].get<double>()).epsilon(1e-12));
    CHECK(got.reward == doctest::Approx(want["reward"].get<double>()).epsilon(1e-5));
  }
}

}  // namespace

TEST_CASE("renderer: pictures equal NumPy's") {
  const auto golden = test::load_golden("world.safetensors");
  const Json expected = read_json(test::golden("world.json"));
  for (int64_t i = 0; i < golden.at("clean").size(0); ++i) {
    const auto scene = world::parse_caption(expected["clean"][static_cast<size_t>(i)]["caption"].get<std::string>());
    const Tensor at = golden.at("places")[i];
    std::vector<world::Placement> places;
    for (int64_t k = 0; k < static_cast<int64_t>(scene.objects.size()); ++k) {
      places.push_back({at[k][0].item<double>(), at[k][1].item<double>(), at[k][2].item<double>()});
    }
    test::expect_close("picture " + std::to_string(i), world::render(scene, places), golden.at("clean")[i], 3e-6);
  }
}

TEST_CASE("oracle: verdicts on clean pictures equal NumPy's") {
  expect_verdicts(read_json(test::golden("world.json"))["clean"], test::load_golden("world.safetensors").at("clean"));
}

TEST_CASE("oracle: verdicts on flawed, cluttered and mixed pictures equal NumPy's") {
  expect_verdicts(read_json(test::golden("world.json"))["spoiled"], to_unit(test::load_golden("world.safetensors").at("spoiled")));
}
