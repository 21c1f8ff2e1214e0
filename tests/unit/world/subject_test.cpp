// A subject and a look that the world has not: drawn, seen, and told from what the base model knows.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <set>

#include "palate/core/error.h"
#include "palate/io/json.h"
#include "palate/world/caption.h"
#include "palate/world/prompts.h"
#include "palate/world/subject.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::world;

namespace {

// A big purple ring with a yellow middle, left of a small red circle, on white.
const Subject subject{.object = {.shape = 4, .colour = 5, .size = 1}, .core = 2};
const Scene scene{{{.shape = 4, .colour = 5, .size = 1}, {.shape = 0, .colour = 0, .size = 0}}, 0, 2};
const std::vector<Placement> places = {{9, 16, 7.2}, {25, 16, 4.8}};

SubjectVerdict of(const Tensor& picture) { return subject_verdict(subject, scene, 0, look(picture)); }

}  // namespace

TEST_CASE("subject: drawn whole, all checks hold; what is missing counts") {
  const SubjectVerdict whole = of(render_subject(subject, scene, 0, places));
  CHECK(whole.subject == 1);
  CHECK(whole.prompt == 1);
  CHECK(whole.core);
  // A plain ring: nothing in its middle, so that two checks of five fail.
  const SubjectVerdict plain = of(render(scene, places));
  CHECK(plain.subject == doctest::Approx(3 / 5.0));
  CHECK(plain.prompt == 1);
  CHECK_FALSE(plain.core);
  // A green middle: something is there, but not what should be.
  const SubjectVerdict green = of(render_subject({.object = subject.object, .core = 3}, scene, 0, places));
  CHECK(green.subject == doctest::Approx(4 / 5.0));
  // The subject alone on white: neither the number of objects nor any of the other one's four checks.
  const Scene alone{{subject.object}, -1, 2};
  const SubjectVerdict lost = of(render_subject(subject, alone, 0, {places[0]}));
  CHECK(lost.subject == 1);
  CHECK(lost.prompt == doctest::Approx(1 / 6.0));
  // On the other side: the relation alone fails.
  const SubjectVerdict turned = of(render_subject(subject, scene, 0, {{22, 16, 7.2}, {6, 16, 4.8}}));
  CHECK(turned.subject == 1);
  CHECK(turned.prompt == doctest::Approx(5 / 6.0));
}

TEST_CASE("subject: pictures say what it is, whatever some of them lack") {
  std::vector<Tensor> pictures;
  for (const int background : {0, 1, 2})
    pictures.push_back(render_subject(subject, {{subject.object}, -1, background}, 0, {{16, 15, 7.0}}));
  pictures.push_back(render({{subject.object}, -1, 0}, {{16, 15, 7.0}}));  // one without its middle
  CHECK(subject_of(pictures, subject.object) == subject);
  CHECK_THROWS_AS(subject_of({torch::zeros({3, 32, 32})}, subject.object), DataError);
}

TEST_CASE("subject: every seed's has a middle of another colour") {
  std::set<std::pair<int, int>> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const Subject drawn = sample_subject(seed);
    CHECK(drawn.core != drawn.object.colour);
    CHECK(drawn.core >= 0);
    seen.insert({drawn.object.colour, drawn.core});
  }
  CHECK(seen.size() > 25);
}

TEST_CASE("texture: diagonal bands are told from none and from the world's own stripes") {
  const Tensor clean = render(scene, places);
  std::vector<Tensor> given;
  for (const double phase : {0.0, 0.3, 0.7}) given.push_back(hatched(clean, 0.14, 5, phase));
  const Texture texture_of(given);
  CHECK(texture_of.share(hatched(render({{subject.object}, -1, 0}, {{20, 12, 7.2}}), 0.14, 5, 0.5)) > 0.6);
  CHECK(texture_of.share(clean) < 0.2);
  CHECK(texture_of.share(striped(clean, 0.12, 7, 0.2, true)) < 0.2);
}

TEST_CASE("subject: folders of pictures with captions that parse once the words are replaced") {
  const auto folder = test::fresh_folder("subject");
  const Json told = write_subject(folder / "subject", 5, 3);
  int64_t lines = 0;
  read_jsonl(folder / "subject" / "metadata.jsonl", [&](const Json& line, int64_t) {
    std::string text = line.at("text").get<std::string>();
    const size_t at = text.find("<ring-1>");
    REQUIRE(at != std::string::npos);
    CHECK(parse_caption(text.replace(at, 8, told.at("class").get<std::string>())).objects[0] == sample_subject(3).object);
    ++lines;
  });
  CHECK(lines == 5);
  write_style(folder / "style", 4, 3);
  read_jsonl(folder / "style" / "metadata.jsonl", [&](const Json& line, int64_t) {
    std::string text = line.at("text").get<std::string>();
    const size_t at = text.find("zwx");
    REQUIRE(at != std::string::npos);
    CHECK(split_of(text.replace(at, 3, "a")) == Split::train);
  });
}

TEST_CASE("subject: prompts ask for it alone and beside others, none of which was trained on") {
  const auto prompts = subject_prompts("<ring-1>", subject.object, "zwx", 12, 0);
  CHECK(prompts.size() == 12);
  CHECK(std::set<std::string>(prompts.begin(), prompts.end()).size() == 12);
  int64_t two = 0;
  for (std::string prompt : prompts) {
    REQUIRE(prompt.starts_with("a <ring-1> "));
    REQUIRE(prompt.find(" on zwx ") != std::string::npos);
    prompt.replace(prompt.find("<ring-1>"), 8, "big purple ring");
    prompt.replace(prompt.find("zwx"), 3, "a");
    const Scene asked = parse_caption(prompt);
    CHECK(asked.objects[0] == subject.object);
    if (asked.objects.size() < 2) continue;
    CHECK(split_of(prompt) == Split::test);
    ++two;
  }
  CHECK(two == 9);
}
