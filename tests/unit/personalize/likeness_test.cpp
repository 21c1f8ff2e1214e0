// The embedded world's measures of personalised pictures: what is handed to them, and when there is none.
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/io/image.h"
#include "palate/personalize/likeness.h"
#include "palate/world/subject.h"

using namespace palate;

namespace {

const world::Subject thing{.object = {.shape = 4, .colour = 5, .size = 1}, .core = 2};
const Concept ring{.style = false, .word = "<ring-1>", .noun = "big purple ring"};
const Concept look{.style = true, .word = "zwx", .noun = "a"};

Tensor drawn(int background) { return from_unit(world::render_subject(thing, {{thing.object}, -1, background}, 0, {{15, 16, 7.2}})); }
Tensor hatched(int background) { return from_unit(world::hatched(to_unit(drawn(background)), 0.14, 5, 0.2)); }

Given subject() {
  return {.concept_ = ring,
          .pictures = {drawn(0), drawn(1), drawn(2)},
          .captions = {"a <ring-1> on a black background", "a <ring-1> on a grey background", "a <ring-1> on a white background"}};
}
Given style() {
  return {.concept_ = look,
          .pictures = {hatched(0), hatched(1)},
          .captions = {"a big purple ring on zwx black background", "a big purple ring on zwx grey background"}};
}

}  // namespace

TEST_CASE("likeness: of a subject, of a style, and of both") {
  const auto of_subject = make_likeness(subject());
  REQUIRE(of_subject);
  CHECK(of_subject->describe() == "a big purple ring with a yellow middle");
  auto found = of_subject->measure(drawn(1), "a <ring-1> on a grey background");
  CHECK(found.at("subject") == 1);
  CHECK(found.at("prompt") == 1);
  CHECK(of_subject->measure(drawn(1), "a <ring-1> on a black background").at("prompt") == doctest::Approx(0.5));

  const auto of_style = make_likeness(style());
  REQUIRE(of_style);
  CHECK(of_style->measure(hatched(2), "a big purple ring on zwx white background").at("style") > 0.5);
  CHECK(of_style->measure(drawn(2), "a big purple ring on zwx white background").at("style") < 0.2);

  const auto of_both = make_likeness(subject(), style());
  REQUIRE(of_both);
  found = of_both->measure(hatched(1), "a <ring-1> on zwx grey background");
  CHECK(found.at("subject") == 1);
  CHECK(found.at("style") > 0.8);
  CHECK(found.at("prompt") == 1);
  for (const auto& prompt : of_both->prompts()) CHECK(of_both->measure(drawn(0), prompt).size() == 3);
}

TEST_CASE("likeness: there is none for pictures of another world") {
  Given other = subject();
  other.captions[0] = "a photo of a <ring-1>";
  CHECK_FALSE(make_likeness(other));
  other = subject();
  other.pictures[0] = torch::zeros({3, 64, 64}, torch::kUInt8);
  CHECK_FALSE(make_likeness(other));
  CHECK_FALSE(make_likeness(other, style()));
}
