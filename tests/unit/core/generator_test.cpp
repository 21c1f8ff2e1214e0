#include <doctest/doctest.h>
#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "tests/support/paths.h"

using namespace palate;

TEST_CASE("generator: the same key gives the same draws, and each field of the key matters") {
  const Key key{1, 2, 3, Purpose::noise};
  CHECK(Generator(key).next() == Generator(key).next());
  std::set<uint32_t> first{Generator(key).next()};
  first.insert(Generator({9, 2, 3, Purpose::noise}).next());
  first.insert(Generator({1, 9, 3, Purpose::noise}).next());
  first.insert(Generator({1, 2, 9, Purpose::noise}).next());
  first.insert(Generator({1, 2, 3, Purpose::crop}).next());
  CHECK(first.size() == 5);
}

TEST_CASE("generator: draws and hashes equal the golden ones, because runs are resumed across releases") {
  const auto golden = nlohmann::json::parse(test::read_text(test::golden("generator.json")));
  for (const auto& entry : golden.at("hashes")) CHECK(stable_hash(entry[0].get<std::string>()) == entry[1].get<uint64_t>());
  for (const auto& entry : golden.at("draws")) {
    const auto& key = entry.at("key");
    Generator generator({key[0].get<uint64_t>(), key[1].get<uint64_t>(), key[2].get<uint64_t>(), Purpose{key[3].get<uint32_t>()}});
    for (const auto& value : entry.at("values")) CHECK(generator.next() == value.get<uint32_t>());
  }
}

TEST_CASE("generator: normal draws have mean 0 and variance 1") {
  // n = 100000: the mean's standard error is 0.0032, the variance's 0.0045; the bounds are five of them.
  const Tensor x = Generator({5, 0, 0, Purpose::noise}).normal({100000});
  CHECK(std::abs(x.mean().item<double>()) < 0.016);
  CHECK(std::abs(x.var().item<double>() - 1) < 0.023);
}

TEST_CASE("generator: below is uniform, permutation is a permutation") {
  Generator g({5, 0, 0, Purpose::test});
  std::vector<int> count(7);
  for (int i = 0; i < 70000; ++i) ++count[static_cast<size_t>(g.below(7))];
  for (const int c : count) CHECK(std::abs(c - 10000) < 500);  // five standard deviations of a binomial
  auto order = g.permutation(100);
  std::sort(order.begin(), order.end());
  for (int64_t i = 0; i < 100; ++i) CHECK(order[static_cast<size_t>(i)] == i);
  CHECK_THROWS_AS(g.below(0), Error);
}
