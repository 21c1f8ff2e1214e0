// Captions of a subject and of a style: what is taken, and what is refused with which sentence. All cases are made by hand.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/json.h"
#include "palate/personalize/captions.h"
#include "tests/support/paths.h"

using namespace palate;
namespace fs = std::filesystem;
using Captions = std::map<std::string, std::string>;

namespace {

const Concept dog{.style = false, .word = "<dog-1>", .noun = "dog"};
const Concept flat{.style = true, .word = "flat cartoon", .noun = ""};

std::vector<fs::path> pictures(size_t count) {
  std::vector<fs::path> all;
  for (size_t i = 0; i < count; ++i) all.push_back(fs::path("photos") / (std::to_string(i) + ".jpg"));
  return all;
}

// Captions of 0.jpg, 1.jpg ... as given; the sentence that refuses them, or "" when they are taken.
std::string refusal(const std::vector<std::string>& texts, const Concept& concept_ = dog) {
  Captions captions;
  for (size_t i = 0; i < texts.size(); ++i) captions[std::to_string(i) + ".jpg"] = texts[i];
  try {
    checked_captions(pictures(texts.size()), captions, concept_, "captions.jsonl");
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

bool refused(const std::vector<std::string>& texts, const std::vector<std::string>& parts, const Concept& concept_ = dog) {
  const std::string sentence = refusal(texts, concept_);
  INFO(sentence);
  bool all = !sentence.empty();
  for (const auto& part : parts) {
    CHECK(sentence.find(part) != std::string::npos);
    all = all && sentence.find(part) != std::string::npos;
  }
  return all;
}

}  // namespace

TEST_CASE("captions: the class becomes the word, the word stays") {
  const auto all =
      checked_captions(pictures(2), {{"0.jpg", " a low-angle photo of a dog on a ledge "}, {"1.jpg", "a <dog-1> in the snow"}}, dog, "x");
  REQUIRE(all.size() == 2);
  CHECK(all[0].picture == fs::path("photos/0.jpg"));
  CHECK(all[0].caption == "a low-angle photo of a <dog-1> on a ledge");
  CHECK(all[1].caption == "a <dog-1> in the snow");
}

TEST_CASE("captions: every picture has one, and every one a picture") {
  CHECK_THROWS_WITH_AS(checked_captions(pictures(2), {{"0.jpg", "a dog"}}, dog, "captions.jsonl"),
                       doctest::Contains("captions.jsonl has no caption for 1.jpg"), UsageError);
  CHECK_THROWS_WITH_AS(checked_captions(pictures(1), {{"0.jpg", "a dog"}, {"9.jpg", "a dog"}}, dog, "captions.jsonl"),
                       doctest::Contains("a caption for 9.jpg, which is not in photos"), UsageError);
}

TEST_CASE("captions: the word or the class stands there exactly once") {
  CHECK(refusal({"a photo of a dog", "a <dog-1> asleep"}).empty());
  CHECK(refused({"a photo of a dog beside a dog"}, {"0.jpg", "2 times"}));
  CHECK(refused({"a photo of a <dog-1> dog"}, {"0.jpg", "2 times"}));
  CHECK(refused({"a sunny meadow"}, {"0.jpg", "names nobody", "<dog-1>", "\"dog\""}));
  CHECK(refused({"a photo of two dogs"}, {"names nobody"}));
  CHECK(refusal({"a cat in flat cartoon style"}, flat).empty());
  CHECK(refused({"a cat"}, {"flat cartoon"}, flat));
  CHECK(refused({"flat cartoon, a cat, Flat Cartoon"}, {"2 times"}, flat));
}

TEST_CASE("captions: two subjects are named") {
  CHECK(refused({"a photo of a dog", "a photo of a cat on a sofa"}, {"two subjects", "\"dog\" (0.jpg)", "\"cat\" (1.jpg)"}));
  CHECK(refused({"a photo of a cat", "a photo of a dog"}, {"two subjects", "\"dog\" (1.jpg)", "\"cat\" (0.jpg)"}));
  CHECK(refused({"a photo of a <dog-1>", "a photo of a <rex>"}, {"two subjects, <dog-1> and <rex>", "1.jpg"}));
  CHECK(refused({"a photo of a <dog-1> beside <rex>"}, {"two subjects, <dog-1> and <rex>"}));
  CHECK(refusal({"a photo of a dog beside a cat"}).empty());  // what else a picture shows is what a caption should say
}

TEST_CASE("captions: a hint that is left is named") {
  CHECK(refused({caption_template(dog)}, {"still has [view]"}));
  CHECK(refused({"a close photo of a dog, [lighting]"}, {"[lighting]"}));
  CHECK(refused({caption_template(flat)}, {"still has ["}, flat));
}

TEST_CASE("captions: rare identifiers are seen") {
  CHECK(rare_identifier("a photo of sks dog") == "sks");
  CHECK(rare_identifier("a photo of a OHWX dog") == "OHWX");
  CHECK(rare_identifier("a photo of a dog at the lake").empty());
}

TEST_CASE("captions: template and files; beside the pictures, as JSON lines, as CSV") {
  const fs::path folder = test::fresh_folder("captions");
  for (const char* name : {"b.jpg", "a.png", ".hidden.png", "notes.md"}) test::write_text(folder / name, "x");
  const auto found = pictures_in(folder);
  REQUIRE(found.size() == 2);
  CHECK(found[0].filename() == "a.png");
  CHECK(read_captions(folder, found, "").empty());

  write_template(folder / "captions.jsonl", found, dog);
  const Captions made = read_captions(folder, found, folder / "captions.jsonl");
  CHECK(made.size() == 2);
  CHECK(made.at("a.png") == "a [view] photo of a <dog-1> [pose], [background], [lighting], [style]");

  test::write_text(folder / "c.csv", "file_name,text\na.png,\"a dog, asleep\"\nb.jpg,a dog\n");
  CHECK(read_captions(folder, found, folder / "c.csv").at("a.png") == "a dog, asleep");
  test::write_text(folder / "twice.jsonl", "{\"file_name\":\"a.png\",\"text\":\"a dog\"}\n{\"file_name\":\"a.png\",\"text\":\"a dog\"}\n");
  CHECK_THROWS_WITH_AS(read_captions(folder, found, folder / "twice.jsonl"), doctest::Contains("twice.jsonl:2: names a.png a second time"),
                       UsageError);
  CHECK_THROWS_WITH_AS(read_captions(folder, found, folder / "none.jsonl"), doctest::Contains("no such file"), UsageError);

  test::write_text(folder / "a.txt", "a dog on a chair\nsecond line");
  CHECK(read_captions(folder, found, "") == Captions{{"a.png", "a dog on a chair"}});
  test::write_text(folder / "metadata.jsonl", "{\"file_name\":\"b.jpg\",\"text\":\"a dog\"}\n");
  CHECK(read_captions(folder, found, "") == Captions{{"b.jpg", "a dog"}});
  CHECK_THROWS_WITH_AS(pictures_in(test::fresh_folder("captions_none")), doctest::Contains("holds no picture"), UsageError);
  CHECK_THROWS_WITH_AS(pictures_in(folder / "missing"), doctest::Contains("no such folder"), UsageError);
}
