#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>

#include "palate/world/caption.h"
#include "palate/world/oracle.h"
#include "palate/world/render.h"

using namespace palate;
using namespace palate::world;

namespace {

struct Clean {
  Scene scene;
  Tensor picture;
};

Clean clean(uint64_t sample) {
  Generator generator({11, sample, 0, Purpose::test});
  Clean made{sample_scene(Odds(), generator), {}};
  made.picture = render(made.scene, place(made.scene, generator));
  return made;
}

// A picture of the given scene with its objects where the caption wants them.
Tensor picture_of(const std::string& text) {
  Generator generator({12, stable_hash(text), 0, Purpose::test});
  const Scene scene = parse_caption(text);
  return render(scene, place(scene, generator));
}

}  // namespace

TEST_CASE("oracle: clean renders are what their captions say") {
  constexpr int count = 600;
  double strict = 0, acc = 0, reward = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const Clean c = clean(i);
    const Verdict v = verdict(c.scene, c.picture);
    strict += v.strict / count;
    acc += v.acc / count;
    reward += v.reward / count;
  }
  MESSAGE("clean renders: strict " << strict << ", acc " << acc << ", reward " << reward);
  CHECK(strict >= 0.97);
  CHECK(acc >= 0.99);
  CHECK(reward > 8);
}

TEST_CASE("oracle: blur, grain and stripes each lower appeal") {
  for (uint64_t i = 0; i < 50; ++i) {
    const Clean c = clean(i);
    Generator generator({13, i, 0, Purpose::test});
    const double before = look(c.picture).appeal;
    CHECK(look(blurred(c.picture, 1.2)).appeal < before);
    CHECK(look(grainy(c.picture, 0.1, generator)).appeal < before - 0.2);
    CHECK(look(striped(c.picture, 0.1, 8, 0, true)).appeal < before - 0.2);
  }
}

TEST_CASE("oracle: a wrong attribute fails the check of that attribute and no other") {
  const Tensor picture = picture_of("a big red circle left of a small blue ring on a white background");
  const auto judge = [&](const char* text) { return verdict(parse_caption(text), picture); };
  const Verdict right = judge("a big red circle left of a small blue ring on a white background");
  CHECK(right.strict == 1);
  CHECK(right.acc == 1);
  const Verdict colour = judge("a big red circle left of a small green ring on a white background");
  CHECK(colour.colour == 0.5);
  CHECK(colour.shape == 1);
  CHECK(colour.acc == doctest::Approx(8.0 / 9));
  CHECK(judge("a big red square left of a small blue ring on a white background").shape == 0.5);
  CHECK(judge("a small red circle left of a small blue ring on a white background").size == 0.5);
  CHECK(judge("a big red circle right of a small blue ring on a white background").relation == 0);
  CHECK(judge("a big red circle left of a small blue ring on a black background").background == 0);
  const Verdict one = judge("a big red circle on a white background");
  CHECK(one.count == 0);
  CHECK(one.strict == 0);
  CHECK(one.acc == doctest::Approx(4.0 / 5));
  CHECK(std::isnan(one.relation));
}

TEST_CASE("oracle: an empty picture meets the background alone") {
  const Tensor empty = torch::full({3, side, side}, 240 / 255.f);
  const Verdict v = verdict(parse_caption("a big red circle on a white background"), empty);
  CHECK(v.acc == doctest::Approx(1.0 / 5));
  CHECK(v.iou == 0);
  CHECK(v.appeal == doctest::Approx(1));
}
