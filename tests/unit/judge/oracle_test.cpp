#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/io/image.h"
#include "palate/judge/judge.h"
#include "palate/world/caption.h"
#include "palate/world/render.h"

using namespace palate;

namespace {

// A clean picture of what the caption asks for.
Tensor picture_of(const std::string& caption) {
  Generator generator({12, stable_hash(caption), 0, Purpose::test});
  const world::Scene scene = world::parse_caption(caption);
  return from_unit(world::render(scene, world::place(scene, generator)));
}

const std::vector<std::string> asked = {"a big red circle on a white background",
                                        "a small green triangle above a big blue ring on a black background"};

}  // namespace

TEST_CASE("oracle: scores bytes by prompt, and keeps what was not asked apart") {
  const auto judge = make_judge("oracle");
  const Tensor pictures = torch::stack({picture_of(asked[0]), picture_of(asked[1])});
  const Scores scores = judge->score(pictures, asked);
  CHECK(scores.parts.size() == 10);
  CHECK(scores.parts.at("strict").sum().item<double>() == 2);
  CHECK(std::isnan(scores.parts.at("relation")[0].item<double>()));
  CHECK(scores.parts.at("relation")[1].item<double>() == 1);
  CHECK(scores.total.min().item<double>() > 7.5);
  CHECK_THROWS_AS(judge->score(pictures, {"a", "b"}), DataError);
  CHECK(judge->tie_margin().value() == 0.1);
}

TEST_CASE("oracle: says what it cannot judge before it is shown a picture") {
  const auto judge = make_judge("oracle");
  CHECK_NOTHROW(judge->require(32, 32, asked));
  CHECK_THROWS_WITH_AS(judge->require(512, 768, asked), doctest::Contains("32x32, found 768x512"), UsageError);
  CHECK_THROWS_WITH_AS(judge->require(32, 32, {asked[0], "a photo of a cat"}), doctest::Contains("\"a photo of a cat\""), UsageError);
}
