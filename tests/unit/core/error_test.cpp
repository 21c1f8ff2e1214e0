#include <doctest/doctest.h>

#include "palate/core/error.h"

using namespace palate;

TEST_CASE("error: parts are joined and the exit status follows the kind") {
  CHECK_THROWS_WITH_AS(fail<FormatError>("a.safetensors: expected ", 3, ", found ", 2.5), "a.safetensors: expected 3, found 2.5",
                       FormatError);
  CHECK(UsageError("x").exit_status() == 2);
  CHECK(ConfigError("x").exit_status() == 2);
  CHECK(IoError("x").exit_status() == 1);
}

TEST_CASE("error: the nearest name is offered only when it is near") {
  const std::vector<std::string> known = {"beta", "loss", "learning_rate"};
  CHECK(nearest("bета", {"zzzzzzzz"}).empty());
  CHECK(nearest("bata", known) == "beta");
  CHECK(nearest("learning_rat", known) == "learning_rate");
  CHECK(nearest("checkpoint", known).empty());
  CHECK(did_you_mean("bata", known) == " (did you mean 'beta'?)");
  CHECK(did_you_mean("kot", {"sft", "dpo", "kto"}) == " (did you mean 'kto'?)");  // letters that changed places are one slip
}

TEST_CASE("error: names and shapes are listed as people write them") {
  CHECK(one_of({"a"}) == "a");
  CHECK(one_of({"a", "b", "c"}) == "a, b or c");
  CHECK(show_shape(std::vector<int64_t>{2, 3}) == "[2, 3]");
}
