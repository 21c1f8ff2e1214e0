#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/eval/evaluation.h"
#include "palate/report/html.h"
#include "palate/report/report.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

// Two sides of 25 pictures, ours better by 1 on each prompt.
Evaluation small_evaluation() {
  Evaluation evaluation;
  evaluation.judge = "test";
  evaluation.tie_margin = 0.1;
  for (int i = 0; i < 25; ++i) evaluation.requests.push_back({"prompt <" + std::to_string(i) + ">", static_cast<uint64_t>(i)});
  for (const char* name : {"base", "dpo"}) {
    const double score = name[0] == 'b' ? 1 : 2;
    evaluation.sides.push_back({name, torch::full({25, 3, 8, 8}, score, torch::kUInt8), {torch::full({25}, score, torch::kFloat64), {}}});
  }
  return evaluation;
}

}  // namespace

TEST_CASE("report: one page holds the pictures, the win rate and the curves, and loads nothing from outside") {
  const auto folder = test::fresh_folder("report");
  small_evaluation().save(folder);
  test::write_text(folder / "dpo/metrics.jsonl", "{\"step\":1,\"loss\":0.69}\n{\"step\":2,\"loss\":0.5}\n");
  test::write_text(folder / "dpo/config.resolved.toml", "seed = 1\n");
  const std::string page = test::read_text(write_report(folder));
  CHECK(page.find("100.0%") != std::string::npos);
  CHECK(page.find("<polyline") != std::string::npos);
  CHECK(page.find("seed = 1") != std::string::npos);
  CHECK(page.find("prompt &lt;3&gt;") != std::string::npos);
  CHECK(page.find("prompt <3>") == std::string::npos);
  CHECK(page.find("src=\"http") == std::string::npos);
  CHECK(page.find("<script") == std::string::npos);
}

TEST_CASE("report: an empty folder is refused with what was looked for") {
  CHECK_THROWS_AS(write_report(test::fresh_folder("empty")), UsageError);
}

TEST_CASE("html: base64 of 1, 2 and 3 bytes is padded as RFC 4648 says") {
  CHECK(data_uri("f") == "data:image/png;base64,Zg==");
  CHECK(data_uri("fo") == "data:image/png;base64,Zm8=");
  CHECK(data_uri("foo") == "data:image/png;base64,Zm9v");
}
