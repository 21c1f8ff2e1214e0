// A folder of pictures that goes on: what is there is not made again, and nothing of another command is mixed into it.
#include "palate/io/sample_folder.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

namespace fs = std::filesystem;

std::vector<ManifestEntry> wanted(const std::vector<std::string>& prompts) {
  std::vector<ManifestEntry> entries;
  for (const auto& prompt : prompts) entries.push_back({.image = "", .prompt = prompt, .id = entries.size(), .seed = 7});
  return entries;
}

const Json settings = {{"steps", 25}};
Tensor picture() { return torch::zeros({3, 8, 8}, torch::kUInt8); }

}  // namespace

TEST_CASE("sample folder: goes on with what is missing, also after a line that was cut short and a picture that is gone") {
  const fs::path folder = fresh_folder("sample_folder") / "pictures";
  {
    SampleFolder made(folder, wanted({"a", "b", "c"}), settings, Existing::refused);
    CHECK(made.missing() == std::vector<size_t>{0, 1, 2});
    made.add(0, picture());
    made.add(2, picture());
    CHECK(made.missing() == std::vector<size_t>{1});
  }
  std::ofstream(folder / "manifest.jsonl", std::ios::app) << R"({"image":"00001.pn)";
  CHECK(SampleFolder(folder, wanted({"a", "b", "c"}), settings, Existing::goes_on).missing() == std::vector<size_t>{1});
  fs::remove(folder / "00002.png");
  SampleFolder again(folder, wanted({"a", "b", "c"}), settings, Existing::goes_on);
  CHECK(again.missing() == std::vector<size_t>{1, 2});
  again.add(1, picture());
  again.add(2, picture());
  CHECK(read_pictures(folder).prompts() == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("sample folder: other settings, other prompts, fewer pictures and a folder in use are refused") {
  const fs::path folder = fresh_folder("sample_folder_wrong") / "pictures";
  {
    SampleFolder made(folder, wanted({"a", "b"}), settings, Existing::refused);
    made.add(0, picture());
    made.add(1, picture());
  }
  const std::string before = read_text(folder / "manifest.jsonl");
  const auto open = [&](const std::vector<std::string>& prompts, const Json& how, Existing existing) {
    const SampleFolder folder_again(folder, wanted(prompts), how, existing);
  };
  CHECK_THROWS_WITH_AS(open({"a", "b"}, {{"steps", 30}}, Existing::goes_on), doctest::Contains("steps is 25 there and 30 now"), UsageError);
  CHECK_THROWS_WITH_AS(open({"a", "x"}, settings, Existing::goes_on), doctest::Contains("prompt is \"b\" there and \"x\" now"), UsageError);
  CHECK_THROWS_WITH_AS(open({"a"}, settings, Existing::goes_on), doctest::Contains("has a line for 00001.png"), UsageError);
  CHECK_THROWS_WITH_AS(open({"a", "b"}, settings, Existing::refused), doctest::Contains("already in use"), UsageError);
  CHECK(read_text(folder / "manifest.jsonl") == before);
}

TEST_CASE("sample folder: what failed before its first picture leaves no folder") {
  const fs::path folder = fresh_folder("sample_folder_empty") / "pictures";
  { const SampleFolder made(folder, wanted({"a"}), settings, Existing::refused); }
  CHECK_FALSE(fs::exists(folder));
}
