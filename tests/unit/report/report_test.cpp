#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/eval/evaluation.h"
#include "palate/report/html.h"
#include "palate/report/report.h"
#include "tests/support/paths.h"
#include "tests/unit/eval/fake_judge.h"

using namespace palate;

namespace {

// Two sides of 25 pictures, ours better by 1 on each prompt.
Evaluation small_evaluation(const std::filesystem::path& folder) {
  Evaluation evaluation;
  evaluation.judges.push_back(std::make_unique<test::ChannelMean>(0, 0.1));
  for (const char* name : {"base", "dpo"}) {
    std::filesystem::create_directories(folder / "pictures" / name);
    const ManifestWriter manifest(folder / "pictures" / name);
    for (uint64_t i = 0; i < 25; ++i) {
      manifest.add(torch::full({3, 8, 8}, name[0] == 'b' ? 1 : 2, torch::kUInt8),
                   {std::to_string(i) + ".png", "prompt <" + std::to_string(i) + ">", i, 0});
    }
    const PictureSet pictures = read_pictures(folder / "pictures" / name);
    evaluation.sides.push_back({name, pictures, score_pictures(pictures, evaluation.judges, 10)});
  }
  return evaluation;
}

}  // namespace

TEST_CASE("report: one page holds the pictures, the win rate and the curves, and loads nothing from outside") {
  const auto folder = test::fresh_folder("report");
  small_evaluation(folder).save(folder);
  test::write_text(folder / "dpo/metrics.jsonl", "{\"step\":1,\"loss\":0.69}\n{\"step\":2,\"loss\":0.5}\n");
  test::write_text(folder / "dpo/config.resolved.toml", "seed = 1\n");
  const std::string page = test::read_text(write_report(folder));
  CHECK(page.find("100.0%") != std::string::npos);
  CHECK(page.find("<polyline") != std::string::npos);
  CHECK(page.find("seed = 1") != std::string::npos);
  CHECK(page.find("prompt &lt;3&gt;") != std::string::npos);
  CHECK(page.find("prompt <3>") == std::string::npos);
  CHECK(page.find("Judge: mean of channel 0; scores within 0.1") != std::string::npos);
  CHECK(page.find("src=\"http") == std::string::npos);
  CHECK(page.find("<script") == std::string::npos);
}

TEST_CASE("report: several judges each have their numbers") {
  const auto folder = test::fresh_folder("report_judges");
  Evaluation evaluation = small_evaluation(folder);
  evaluation.judges.push_back(std::make_unique<test::ChannelMean>(1));
  for (Side& side : evaluation.sides) side.scores = score_pictures(side.pictures, evaluation.judges, 10);
  evaluation.save(folder);
  const std::string page = test::read_text(write_report(folder));
  CHECK(page.find("dpo against base, by channel0") != std::string::npos);
  CHECK(page.find("Scores by attribute, channel1") != std::string::npos);
}

TEST_CASE("report: an evaluation of an earlier version is refused with what to do") {
  const auto folder = test::fresh_folder("report_earlier");
  test::write_text(folder / "eval.json", R"({"judge":"the embedded world's oracle","comparisons":[]})");
  CHECK_THROWS_WITH_AS(write_report(folder), doctest::Contains("run palate eval again"), FormatError);
}

TEST_CASE("report: an empty folder is refused with what was looked for") {
  CHECK_THROWS_AS(write_report(test::fresh_folder("empty")), UsageError);
}

TEST_CASE("html: base64 of 1, 2 and 3 bytes is padded as RFC 4648 says") {
  CHECK(data_uri("f") == "data:image/png;base64,Zg==");
  CHECK(data_uri("fo") == "data:image/png;base64,Zm8=");
  CHECK(data_uri("foo") == "data:image/png;base64,Zm9v");
}
