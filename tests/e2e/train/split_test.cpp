// How a step is split into passes changes no draw of (t, noise, crop, dropout), and its numbers only by rounding.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/train/checkpoint.h"
#include "tests/e2e/train/tiny_run.h"
#include "tests/support/expect_close.h"

using namespace palate;
using namespace palate::test;

namespace {

std::vector<Json> lines_of(const std::filesystem::path& run) {
  std::vector<Json> lines;
  for (const auto& text : timeless_metrics(run)) lines.push_back(parse_json(text, "metrics"));
  return lines;
}

}  // namespace

TEST_CASE("split: six pairs at once, two times three or six times one make the same steps") {
  const TinyRun tiny("split");
  const std::vector<std::string> same = {"train.ema=0", "train.keep_best=false", "train.log_every=1", "train.steps=6",
                                         "train.validate_every=3"};
  const auto run = [&](const std::string& name, int batch, int accumulation) {
    auto settings = same;
    settings.push_back("train.batch=" + std::to_string(batch));
    settings.push_back("train.accumulation=" + std::to_string(accumulation));
    const auto result = tiny.train(name, settings);
    INFO(result.err);
    REQUIRE(result.status == 0);
    return lines_of(tiny.output(name));
  };
  const auto whole = run("whole", 6, 1), parts = run("parts", 3, 2), single = run("single", 1, 6);
  REQUIRE(whole.size() == 6);
  for (const auto* other : {&parts, &single}) {
    REQUIRE(other->size() == 6);
    for (size_t i = 0; i < 6; ++i) {
      for (const auto& [name, value] : whole[i].items()) {
        INFO(name, " at step ", i + 1);
        // Rewards are beta times small differences of errors, so rounding of 1e-7 becomes up to 1e-3 there.
        CHECK(std::abs((*other)[i].at(name).get<double>() - value.get<double>()) <= 1e-3 + 1e-3 * std::abs(value.get<double>()));
      }
    }
  }
  // The first step starts from the same weights, so its loss tells whether the draws are the same: other draws would
  // change errors by a tenth and more.
  CHECK(std::abs(parts[0]["model_w_err"].get<double>() - whole[0]["model_w_err"].get<double>()) < 1e-6);
  CHECK(std::abs(single[0]["model_w_err"].get<double>() - whole[0]["model_w_err"].get<double>()) < 1e-6);
}

TEST_CASE("split: the same command gives the same bits, another seed does not") {
  const TinyRun tiny("repeat");
  REQUIRE(tiny.train("one").status == 0);
  REQUIRE(tiny.train("two").status == 0);
  expect_same_run(tiny.output("two"), tiny.output("one"), 12);
  REQUIRE(tiny.train("other", {"seed=4"}).status == 0);
  CHECK(timeless_metrics(tiny.output("other")) != timeless_metrics(tiny.output("one")));
}

TEST_CASE("split: training learns: fine-tuning on the winners lowers their error") {
  const TinyRun tiny("learns");
  const auto result =
      tiny.train("run", {"objective.loss=sft", "objective.reference=none", "full=true", "train.steps=60", "train.log_every=20",
                         "optimizer.lr=1e-3", "train.ema=0", "train.validate_every=60", "train.keep_best=false"});
  INFO(result.err);
  REQUIRE(result.status == 0);
  const auto lines = lines_of(tiny.output("run"));
  REQUIRE(lines.size() == 3);
  CHECK(lines[2]["loss"].get<double>() < lines[0]["loss"].get<double>() - 0.03);
  CHECK(lines[2]["held_out/loss"].get<double>() < lines[0]["loss"].get<double>());
  CHECK_FALSE(lines[2].contains("held_out/accuracy"));  // without a loser there is no preference to measure
}
