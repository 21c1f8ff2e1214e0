#include "palate/models/condition.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "tests/support/expect_close.h"

using namespace palate;
using namespace palate::test;

namespace {

// "mask" is an argument that no network here has: whatever a condition holds goes wherever it goes.
Condition two_rows() {
  return {{"encoder_hidden_states", torch::arange(12.0).view({2, 3, 2}).to(torch::kFloat)},
          {"time_ids", torch::tensor({{1025.F, 0.F}, {7.F, 8.F}})},
          {"mask", torch::tensor({{1, 0, 1}, {1, 1, 1}})}};
}

}  // namespace

TEST_CASE("condition: an undefined tensor is no field") {
  const Condition made{{"text_embeds", torch::ones({1, 2})}, {"time_ids", Tensor()}};
  CHECK(made.fields().size() == 1);
  CHECK_FALSE(made["time_ids"].defined());
  Condition changed = made;
  changed.set("text_embeds", {});
  CHECK(changed.empty());
}

TEST_CASE("condition: rows, repeat and cat keep every field") {
  const Condition two = two_rows(), second = two.rows(1, 1), thrice = second.repeat(3), all = Condition::cat({two, second});
  for (const auto& [name, value] : two.fields()) {
    CAPTURE(name);
    expect_equal("rows", second[name], value.narrow(0, 1, 1));
    expect_equal("repeat", thrice[name], torch::cat({second[name], second[name], second[name]}));
    expect_equal("cat", all[name], torch::cat({value, second[name]}));
  }
  expect_equal("zeros", two.zeros()["mask"], torch::zeros({2, 3}, torch::kLong));
}

TEST_CASE("condition: conditions of different fields do not join") {
  Condition without = two_rows();
  without.set("mask", {});
  CHECK_THROWS_WITH_AS(Condition::cat({two_rows(), without}), doctest::Contains("give both the same fields"), UsageError);
  CHECK_THROWS_AS(Condition::cat({without, two_rows()}), UsageError);
}

TEST_CASE("condition: a compute dtype rounds states, and neither sizes in pixels nor masks") {
  const Condition half = two_rows().to(torch::kCPU, torch::kBFloat16);
  CHECK((half["encoder_hidden_states"].scalar_type() == torch::kBFloat16));
  CHECK(half["time_ids"][0][0].item<float>() == 1025);  // bf16 has 1024 and 1032
  CHECK((half["mask"].scalar_type() == torch::kLong));
}

TEST_CASE("condition: what is missing is taken from another, what is there stays") {
  const Condition own{{"encoder_hidden_states", torch::ones({2, 3, 2})}}, joined = own.with_missing_of(two_rows());
  expect_equal("own", joined["encoder_hidden_states"], torch::ones({2, 3, 2}));
  expect_equal("sizes", joined["time_ids"], two_rows()["time_ids"]);
  CHECK(joined.fields().size() == 3);
}
