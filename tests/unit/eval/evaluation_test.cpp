#include "palate/eval/evaluation.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "palate/io/image.h"
#include "tests/support/paths.h"
#include "tests/unit/eval/fake_judge.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

// Six prompts; channel 0 of "ours" is 1 above the base's, channel 1 is 1 below it. The last picture of "ours" is larger.
Evaluation two_judges(const fs::path& base, const fs::path& ours) {
  Evaluation evaluation;
  evaluation.judges.push_back(std::make_unique<test::ChannelMean>(0));
  evaluation.judges.push_back(std::make_unique<test::ChannelMean>(1, 2));
  for (const auto& [name, folder] : {std::pair{"base", base}, std::pair{"ours", ours}}) {
    const int better = folder == ours ? 1 : 0;
    fs::create_directories(folder);
    const ManifestWriter manifest(folder);
    for (int i = 0; i < 6; ++i) {
      const int64_t size = better && i == 5 ? 16 : 8;
      Tensor picture = torch::full({3, size, size}, 10 * i, torch::kUInt8);
      picture[0].fill_(50 + better);
      picture[1].fill_(50 - better);
      manifest.add(picture, {std::to_string(i) + ".png", "prompt " + std::to_string(i), {}, {}});
    }
    const PictureSet pictures = read_pictures(folder);
    evaluation.sides.push_back({name, pictures, score_pictures(pictures, evaluation.judges, 4)});
  }
  return evaluation;
}

}  // namespace

TEST_CASE("evaluation: one file says what each judge found, and where the pictures are") {
  const fs::path folder = test::fresh_folder("evaluation"), elsewhere = test::fresh_folder("evaluation_ours");
  const Json json = two_judges(folder / "pictures/base", elsewhere).save(folder);
  CHECK(json == read_json(folder / "eval.json"));
  CHECK(json["judges"][1] == Json::parse(R"({"name":"channel1","identity":"mean of channel 1","tie_margin":2.0})"));
  CHECK(json["sampling"].is_null());
  REQUIRE(json["comparisons"].size() == 2);
  CHECK(json["comparisons"][0]["judge"] == "channel0");
  CHECK(json["comparisons"][0]["win_rate"]["win"] == 1);
  CHECK(json["comparisons"][1]["win_rate"]["tie"] == 1);  // 1 is within its margin of 2
  CHECK(json["comparisons"][1]["gain"]["mean"] == -1);
  CHECK(json["sides"][0]["folder"] == "pictures/base");
  CHECK(json["sides"][1]["folder"] == elsewhere.string());
  CHECK(json["sides"][1]["means"]["channel0"]["total"] == 51);
  CHECK(json["sides"][1]["scores"]["channel1"][5] == 49);
  CHECK(read_image(folder / "sheet_ours.png").size(0) == 3);
  const std::string text = show_comparisons(json);
  CHECK(text.find("channel0: ours") != std::string::npos);
  CHECK(text.find("channel1: ours") != std::string::npos);
}
