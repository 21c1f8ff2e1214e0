#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/personalize/concept.h"
#include "palate/personalize/personalize.h"

using namespace palate;

TEST_CASE("concept: words are found as words of their own, in any case") {
  CHECK(places_of("a dog and a Dog", "dog") == std::vector<size_t>{2, 12});
  CHECK(places_of("a hotdog, a dogma, dogs", "dog").empty());
  CHECK(places_of("a photo of a <dog-1>.", "dog").empty());
  CHECK(places_of("a photo of a <dog-1>.", "<dog-1>") == std::vector<size_t>{13});
  CHECK(places_of("a toy car", "toy car") == std::vector<size_t>{2});
  CHECK(places_of("a toy car", "").empty());
}

TEST_CASE("concept: the model is asked for the word, the base for the class, a judge for what everybody knows") {
  const Concept dog{.style = false, .word = "<dog-1>", .noun = "toy dog"};
  CHECK(dog.own("a toy dog on a sofa") == "a <dog-1> on a sofa");
  CHECK(dog.own("a <dog-1> on a sofa") == "a <dog-1> on a sofa");
  CHECK(dog.base("a <dog-1> on a sofa") == "a toy dog on a sofa");
  CHECK(dog.judged("a <dog-1> on a sofa") == "a toy dog on a sofa");
  const Concept flat{.style = true, .word = "flat cartoon", .noun = ""};
  CHECK(flat.own("a cat in flat cartoon style") == "a cat in flat cartoon style");
  CHECK(flat.base("a cat in flat cartoon style") == "a cat in flat cartoon style");
  CHECK(flat.judged("a cat in flat cartoon style") == "a cat in style");
}

TEST_CASE("concept: a word is made of the class; what is missing is asked for") {
  CHECK(default_word("dog") == "<dog-1>");
  CHECK(default_word("toy Car") == "<car-1>");
  CHECK(make_concept(false, "dog", "").word == "<dog-1>");
  CHECK(make_concept(false, "dog", "<rex>").word == "<rex>");
  CHECK(make_concept(true, "", "flat cartoon").style);
  CHECK_THROWS_WITH_AS(make_concept(false, "", ""), doctest::Contains("--class"), UsageError);
  CHECK_THROWS_WITH_AS(make_concept(true, "", ""), doctest::Contains("--word"), UsageError);
  CHECK_THROWS_WITH_AS(make_concept(false, "dog", "my dog"), doctest::Contains("my dog"), UsageError);
}

TEST_CASE("concept: it is kept in a file and read back") {
  const Concept dog = make_concept(false, "dog", "");
  const Concept back = concept_from(to_json(dog));
  CHECK(back.word == dog.word);
  CHECK(back.noun == dog.noun);
  CHECK(back.style == dog.style);
}

TEST_CASE("concept: default prompts each ask for it, living things get hats and things get water") {
  const auto has = [](const std::vector<std::string>& prompts, const std::string& text) {
    return std::any_of(prompts.begin(), prompts.end(), [&](const std::string& prompt) { return prompt.find(text) != std::string::npos; });
  };
  const auto dog = default_prompts(make_concept(false, "dog", "")), vase = default_prompts(make_concept(false, "vase", ""));
  CHECK(dog.size() == 10);
  CHECK(vase.size() == 10);
  CHECK(has(dog, "wearing a red hat"));
  CHECK_FALSE(has(vase, "wearing a red hat"));
  CHECK(has(vase, "floating on top of water"));
  for (const auto& prompt : dog) CHECK(places_of(prompt, "<dog-1>").size() == 1);
}
