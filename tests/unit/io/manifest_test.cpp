#include "palate/io/manifest.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/image.h"
#include "tests/support/paths.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

Tensor grey(int value) { return torch::full({3, 2, 2}, value, torch::kUInt8); }

fs::path folder_with(const std::string& name, const std::vector<std::string>& pictures) {
  const fs::path folder = test::fresh_folder(name);
  for (const auto& picture : pictures) write_png(folder / picture, grey(1));
  return folder;
}

}  // namespace

TEST_CASE("manifest: what is written is read again, the largest id too, and more keys stay in the line") {
  const fs::path folder = test::fresh_folder("manifest");
  const uint64_t largest = std::numeric_limits<uint64_t>::max();
  const ManifestWriter writer(folder);
  writer.add(grey(5), {"0.png", "a \"red\" circle", largest, 7}, {{"steps", 20}});
  writer.add(grey(6), {"1.png", "a ring", {}, {}});
  CHECK(read_image(folder / "0.png").equal(grey(5)));
  CHECK(test::read_text(folder / "manifest.jsonl").find(R"("id":18446744073709551615,"seed":7,"steps":20})") != std::string::npos);
  for (const fs::path& path : {folder, manifest_file(folder)}) {
    const PictureSet set = read_pictures(path);
    REQUIRE(set.entries.size() == 2);
    CHECK(set.file(1) == folder / "1.png");
    CHECK(set.prompts() == std::vector<std::string>{"a \"red\" circle", "a ring"});
    CHECK(set.entries[0].id == largest);
    CHECK(set.entries[0].seed == 7u);
    CHECK_FALSE(set.entries[1].id.has_value());
  }
}

TEST_CASE("manifest: the spellings of earlier runs and of other programs") {
  for (const char* line : {R"({"image":"a.png","prompt":"p","id":3})", R"({"file":"a.png","prompt":"p","seed":0,"id":3})",
                           R"({"file_name":"a.png","text":"p","id":3,"reward":1.5})"}) {
    const ManifestEntry entry = manifest_entry(Json::parse(line), "here");
    CHECK(entry.image == "a.png");
    CHECK(entry.prompt == "p");
    CHECK(entry.id == 3u);
  }
  CHECK_THROWS_WITH_AS(manifest_entry(Json::parse(R"({"prompt":"p"})"), "here"),
                       doctest::Contains("here: expected an object with a text 'image'"), FormatError);
  CHECK_THROWS_WITH_AS(manifest_entry(Json::parse(R"(["a.png"])"), "here"), doctest::Contains("'image'"), FormatError);
  CHECK_THROWS_WITH_AS(manifest_entry(Json::parse(R"({"image":"a.png"})"), "here"), doctest::Contains("'prompt'"), FormatError);
}

TEST_CASE("pictures: a folder with metadata.jsonl, or with captions beside, by name") {
  const fs::path listed = folder_with("listed", {"a.png"});
  test::write_text(listed / "metadata.jsonl", "{\"file_name\":\"a.png\",\"text\":\"listed\"}\n");
  CHECK(read_pictures(listed).prompts() == std::vector<std::string>{"listed"});

  const fs::path captioned = folder_with("captioned", {"b.png", "a.PNG"});
  test::write_text(captioned / "a.txt", "first \r\nnot this\n");
  test::write_text(captioned / "b.caption", "second");
  const PictureSet set = read_pictures(captioned);
  CHECK(set.prompts() == std::vector<std::string>{"first", "second"});
  CHECK(set.entries[0].image == "a.PNG");
}

TEST_CASE("pictures: what is missing is said") {
  const fs::path folder = folder_with("bare", {"a.png"});
  CHECK_THROWS_WITH_AS(read_pictures(folder), doctest::Contains("a.png: expected its prompt"), DataError);
  CHECK_THROWS_WITH_AS(read_pictures(test::fresh_folder("nothing")), doctest::Contains("found none of them"), UsageError);
  CHECK_THROWS_WITH_AS(read_pictures(folder / "none"), doctest::Contains("found none"), UsageError);
  test::write_text(folder / "manifest.jsonl", "{\"image\":\"a.png\",\"prompt\":\"p\"}\n\n{\"image\":\"b.png\",\"prompt\":\"p\"}\n");
  CHECK_THROWS_WITH_AS(read_pictures(folder), doctest::Contains("manifest.jsonl line 3: there is no picture"), DataError);
  test::write_text(folder / "manifest.jsonl", "\n");
  CHECK_THROWS_WITH_AS(read_pictures(folder), doctest::Contains("expected one line a picture"), DataError);
}
