#include <doctest/doctest.h>

#include <set>

#include "palate/core/error.h"
#include "palate/world/caption.h"
#include "palate/world/prompts.h"
#include "palate/world/render.h"

using namespace palate;
using namespace palate::world;

TEST_CASE("prompts: training, development and test share nothing, and are three, one and one fifth") {
  std::array<size_t, 3> count{};
  for (const auto& scenes : {single_scenes(), double_scenes()}) {
    for (const Scene& scene : scenes) ++count[static_cast<size_t>(split_of(caption(scene)))];
  }
  CHECK(count[0] + count[1] + count[2] == 36180);
  CHECK(count[0] == doctest::Approx(0.6 * 36180).epsilon(0.02));
  CHECK(count[1] == doctest::Approx(0.2 * 36180).epsilon(0.03));
  CHECK(count[2] == doctest::Approx(0.2 * 36180).epsilon(0.03));
}

TEST_CASE("prompts: the split is that of the caption's MD5") {
  // md5("a big red circle on a white background") begins with 4e762c73, which is 0 modulo 5 (Python: hashlib.md5(...).hexdigest()[:8])
  CHECK((split_of("a big red circle on a white background") == Split::development));
  CHECK((split_of("a small blue ring on a grey background") == Split::train));  // 2 modulo 5
}

TEST_CASE("prompts: distinct, of the split that was asked for, the same for the same seed") {
  const auto chosen = held_out_prompts(500, 7);
  CHECK(std::set<std::string>(chosen.begin(), chosen.end()).size() == 500);
  int singles = 0;
  for (const auto& text : chosen) {
    CHECK(split_of(text) == Split::test);
    singles += parse_caption(text).objects.size() == 1;
  }
  CHECK(singles == 37);  // two in five would be 200, but there are no more
  CHECK(held_out_prompts(500, 7) == chosen);
  CHECK(held_out_prompts(500, 8) != chosen);
  for (const auto& text : prompts(Split::development, Kind::single, 30, 0)) CHECK(parse_caption(text).objects.size() == 1);
  for (const auto& text : prompts(Split::train, Kind::two, 50, 0)) CHECK(parse_caption(text).objects.size() == 2);
}

TEST_CASE("prompts: more than there are is refused") {
  CHECK_THROWS_AS(prompts(Split::test, Kind::single, 1000, 0), UsageError);
  CHECK_THROWS_AS(held_out_prompts(100000, 0), UsageError);
}

TEST_CASE("training data: no caption of the other splits, wrong captions included") {
  Odds odds;
  odds.wrong_caption = 0.5;
  Generator generator({5, 0, 0, Purpose::world});
  for (int i = 0; i < 300; ++i) CHECK(split_of(web_picture(odds, generator).caption) == Split::train);
}
