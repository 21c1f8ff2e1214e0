#include "palate/judge/judge.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>
#include <limits>
#include <set>

#include "palate/core/error.h"
#include "tests/unit/judge/clip_folder.h"

using namespace palate;

namespace {

// As a person gives it: with a folder where the table asks for one.
std::string name_of(const RegistryLine& line) {
  const size_t colon = line.name.find(':');
  return colon == std::string::npos ? line.name : line.name.substr(0, colon + 1) + test::clip_folder().string();
}

}  // namespace

TEST_CASE("judges: each name of the table makes a judge of that name; identities name one line and differ") {
  std::set<std::string> identities;
  for (const auto& line : judges()) {
    CAPTURE(line.name);
    const std::string name = name_of(line);
    const auto judge = make_judge(name);
    CHECK(judge->name() == name);
    CHECK_FALSE(line.summary.empty());
    CHECK_FALSE(judge->identity().empty());
    CHECK(judge->identity().find('\n') == std::string::npos);
    CHECK(judge->identity() == make_judge(name)->identity());
    CHECK(identities.insert(judge->identity()).second);
  }
  CHECK(judge_names().size() == identities.size());
}

TEST_CASE("judges: an unknown name names the nearest, and no judge is asked twice") {
  CHECK_THROWS_WITH_AS(make_judge("orakle"), doctest::Contains("did you mean 'oracle'?"), UsageError);
  CHECK_THROWS_WITH_AS(make_judges({"oracle", "oracle"}), doctest::Contains("given twice"), UsageError);
  CHECK(make_judges({"oracle"}).at(0)->name() == "oracle");
  CHECK_THROWS_WITH_AS(make_judge("clip"), "judge: expected clip:DIR, found 'clip'", UsageError);
  CHECK_THROWS_WITH_AS(make_judge(test::clip_folder().string()), doctest::Contains("is given as clip:/"), UsageError);
  CHECK_THROWS_WITH_AS(make_judge("oracle:here"), "judge: expected oracle, found 'oracle:here'", UsageError);
}

TEST_CASE("scores: batches one after the other are as one") {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const auto row = [](std::vector<double> values) { return torch::tensor(values, torch::kFloat64); };
  const Scores all = concatenate({{row({1, 2}), {{"size", row({5, none})}}}, {row({3}), {{"size", row({7})}}}});
  CHECK(all.total.equal(row({1, 2, 3})));
  CHECK(all.parts.at("size")[0].item<double>() == 5);
  CHECK(std::isnan(all.parts.at("size")[1].item<double>()));
  CHECK(all.parts.at("size")[2].item<double>() == 7);
}
