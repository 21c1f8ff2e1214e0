#include <doctest/doctest.h>

#include <algorithm>

#include "palate/data/cache/split.h"

using namespace palate;

namespace {

std::vector<std::string> numbered(int count) {
  std::vector<std::string> prompts;
  for (int i = 0; i < count; ++i) prompts.push_back("prompt " + std::to_string(i));
  return prompts;
}

int64_t held(const std::vector<bool>& split) { return std::count(split.begin(), split.end(), true); }

}  // namespace

TEST_CASE("split: a prompt's fate does not depend on the order of prompts or on the others") {
  auto prompts = numbered(500);
  const auto split = hold_out(prompts, 0.2, 3);
  // n = 500, p = 0.2: standard deviation 8.9; the bound is five of them.
  CHECK(std::abs(held(split) - 100) < 45);
  std::vector<std::string> reversed(prompts.rbegin(), prompts.rend());
  const auto again = hold_out(reversed, 0.2, 3);
  for (size_t i = 0; i < 500; ++i) CHECK(again[499 - i] == split[i]);
  prompts.resize(400);
  const auto fewer = hold_out(prompts, 0.2, 3);
  CHECK(std::equal(fewer.begin(), fewer.end(), split.begin()));
  CHECK(hold_out(prompts, 0.2, 4) != fewer);
}

TEST_CASE("split: with two prompts or more, both sides get at least one") {
  CHECK(held(hold_out({"a", "b"}, 1e-9, 0)) == 1);
  CHECK(held(hold_out({"a", "b", "c"}, 0.9999999, 0)) == 2);
  CHECK(held(hold_out({"a"}, 0.5, 0)) == 0);
  CHECK(held(hold_out(numbered(50), 0, 0)) == 0);
}

TEST_CASE("split: prompts that the tokenizer reads alike stay together") {
  CHECK(normal_prompt("  A  Cat\n") == "a cat");
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto split = hold_out({"a cat", "A  cat ", "a dog", "a bird"}, 0.4, seed);
    CHECK(split[0] == split[1]);
  }
  CHECK(held(hold_out({"a cat", "A cat"}, 0.5, 0)) == 0);  // one prompt in truth
}
