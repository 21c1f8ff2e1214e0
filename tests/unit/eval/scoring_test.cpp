#include "palate/eval/scoring.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "palate/io/atomic_file.h"
#include "palate/io/image.h"
#include "tests/support/paths.h"
#include "tests/unit/eval/fake_judge.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

// Pictures whose channels 0 and 1 are 10 i and 20 i, in files that are of `sizes`.
PictureSet pictures(const fs::path& folder, const std::vector<int64_t>& sizes) {
  const ManifestWriter manifest(folder);
  for (size_t i = 0; i < sizes.size(); ++i) {
    Tensor picture = torch::zeros({3, sizes[i], 4}, torch::kUInt8);
    picture[0].fill_(10 * static_cast<int>(i));
    picture[1].fill_(20 * static_cast<int>(i));
    manifest.add(picture, {std::to_string(i) + ".png", "prompt " + std::to_string(i / 2), i, 3});
  }
  return read_pictures(folder);
}

Judges two_judges() {
  Judges judges;
  judges.push_back(std::make_unique<test::ChannelMean>(0));
  judges.push_back(std::make_unique<test::ChannelMean>(1, 0.5));
  return judges;
}

}  // namespace

TEST_CASE("scoring: pictures on disk, a batch at a time, by several judges") {
  const PictureSet set = pictures(test::fresh_folder("scoring"), {4, 4, 4, 8, 8, 4});
  const Judges judges = two_judges();
  Sha256 hash, expected;
  const auto scores = score_pictures(set, judges, 2, &hash);
  for (size_t i = 0; i < set.entries.size(); ++i) expected.update(read_file(set.file(i)));
  CHECK(hash.hex() == expected.hex());
  REQUIRE(scores.size() == 2);
  CHECK(scores[0].total.equal(torch::tensor({0, 10, 20, 30, 40, 50}, torch::kFloat64)));
  CHECK(scores[1].parts.at("largest").equal(torch::tensor({0, 20, 40, 60, 80, 100}, torch::kFloat64)));
  CHECK(static_cast<const test::ChannelMean&>(*judges[0]).most_at_once == 2);
  CHECK(mean_scores(scores[0]).at("total") == 25);
}

TEST_CASE("scoring: the judges are asked about every prompt before one picture is scored, and about every size") {
  PictureSet set = pictures(test::fresh_folder("scoring_refused"), {4, 4, 20});
  const Judges judges = two_judges();
  set.entries[2].prompt = "refused";
  CHECK_THROWS_WITH_AS(score_pictures(set, judges, 1), doctest::Contains("a refused prompt"), UsageError);
  CHECK(static_cast<const test::ChannelMean&>(*judges[0]).most_at_once == 0);
  set.entries[2].prompt = "a ring";
  CHECK_THROWS_WITH_AS(score_pictures(set, judges, 1), doctest::Contains("too high"), UsageError);
}

TEST_CASE("scoring: scores.jsonl has a line for each picture and judge") {
  const fs::path folder = test::fresh_folder("scores");
  const PictureSet set = pictures(folder, {4, 4});
  const Judges judges = two_judges();
  write_scores(folder / "scores.jsonl", set, judges, score_pictures(set, judges, 8));
  std::vector<Json> lines;
  read_jsonl(folder / "scores.jsonl", [&](const Json& line, int64_t) { lines.push_back(line); });
  REQUIRE(lines.size() == 4);
  CHECK(lines[3] == Json::parse(R"({"image":"1.png","prompt":"prompt 0","id":1,"seed":3,"judge":"channel1",
                                    "identity":"mean of channel 1","total":20.0,"parts":{"largest":20.0}})"));
  CHECK(to_json(*judges[0]).at("tie_margin").is_null());
  CHECK(to_json(*judges[1]).at("tie_margin") == 0.5);
}
