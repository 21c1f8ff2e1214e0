#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "palate/core/error.h"
#include "palate/train/pair_order.h"

using namespace palate;

namespace {

// Each once an epoch, all in one bucket.
std::vector<PairOrder::Item> plain_items(const std::vector<int64_t>& rows) {
  std::vector<PairOrder::Item> items;
  for (const int64_t row : rows) items.push_back({.row = row});
  return items;
}

}  // namespace

TEST_CASE("order: every epoch sees every pair once, in an order of its own, and counts the epoch as the draw") {
  const std::vector<int64_t> rows = {3, 5, 8, 9, 14, 20, 21};
  PairOrder order(plain_items(rows), 1, 4);
  const auto first = order.take(0, 7), second = order.take(7, 7);
  auto sorted = first.rows;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == rows);
  sorted = second.rows;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == rows);
  CHECK(first.rows != second.rows);
  CHECK(first.visits == std::vector<uint64_t>(7, 0));
  CHECK(second.visits == std::vector<uint64_t>(7, 1));
}

TEST_CASE("order: it depends on the place alone, not on how the places are taken") {
  std::vector<int64_t> rows(13);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  const auto items = plain_items(rows);
  PairOrder whole(items, 1, 1), parts(items, 1, 1), late(items, 1, 1), other(items, 1, 2);
  const auto all = whole.take(0, 40);
  std::vector<int64_t> pieces;
  for (int64_t first = 0; first < 40; first += 4) {
    const auto part = parts.take(first, 4);
    pieces.insert(pieces.end(), part.rows.begin(), part.rows.end());
  }
  CHECK(pieces == all.rows);
  CHECK(late.take(33, 7).rows == std::vector<int64_t>(all.rows.begin() + 33, all.rows.end()));  // a run that goes on there
  CHECK(other.take(0, 40).rows != all.rows);
  CHECK(whole.epochs(26) == 2);
}

TEST_CASE("order: repeats come that often an epoch, each with a draw of its own") {
  PairOrder order({{.row = 1, .repeats = 3}, {.row = 2, .repeats = 1}}, 2, 4);
  std::map<int64_t, std::set<uint64_t>> draws;
  const auto part = order.take(0, 8);
  for (size_t i = 0; i < 8; ++i) draws[part.rows[i]].insert(part.visits[i]);
  CHECK(draws[1] == std::set<uint64_t>{0, 1, 2, 3, 4, 5});
  CHECK(draws[2] == std::set<uint64_t>{0, 1});
  CHECK(order.epochs(8) == 2);
}

TEST_CASE("order: with buckets every batch is full and of one bucket, and every row comes equally often") {
  std::vector<PairOrder::Item> items;
  for (int64_t row = 0; row < 17; ++row) items.push_back({.row = row, .repeats = 1, .bucket = row < 2 ? 0 : row < 9 ? 1 : 5});
  PairOrder order(items, 3, 4), late(items, 3, 4), other(items, 3, 5);
  std::map<int64_t, std::vector<uint64_t>> draws;
  std::vector<int64_t> buckets, all, others;
  for (int64_t first = 0; first < 3 * 17 * 20; first += 3) {
    const auto part = order.take(first, 3);
    REQUIRE(part.rows.size() == 3);
    for (size_t i = 0; i < 3; ++i) {
      CHECK(items[static_cast<size_t>(part.rows[i])].bucket == items[static_cast<size_t>(part.rows[0])].bucket);
      draws[part.rows[i]].push_back(part.visits[i]);
      all.push_back(part.rows[i]);
    }
    buckets.push_back(items[static_cast<size_t>(part.rows[0])].bucket);
    if (first < 300) {
      const auto more = other.take(first, 3).rows;
      others.insert(others.end(), more.begin(), more.end());
    }
  }
  // 60 epochs: each row was seen 60 times, give or take the batches that the last epoch begins and ends in, each time with a draw of its
  // own.
  for (auto& [row, seen] : draws) {
    CHECK(std::abs(static_cast<int>(seen.size()) - 60) <= 2);
    std::sort(seen.begin(), seen.end());
    for (size_t i = 0; i < 57; ++i) CHECK(seen[i] == i);
    CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
  }
  CHECK(draws.size() == 17);
  CHECK(std::adjacent_find(buckets.begin(), buckets.end(), std::not_equal_to<>()) != buckets.end());
  CHECK(std::vector<int64_t>(all.begin(), all.begin() + 300) != others);
  for (const int64_t first : {27, 600, 300, 3}) {  // a run that goes on there, or anywhere
    CHECK(late.take(first, 3).rows == std::vector<int64_t>(all.begin() + first, all.begin() + first + 3));
  }
  CHECK_THROWS_AS(order.take(1, 3), Error);
}

TEST_CASE("order: a single bucket, whatever its number, is the order without buckets") {
  PairOrder plain(plain_items({4, 6, 7, 9}), 1, 3),
      one({{.row = 4, .bucket = 2}, {.row = 6, .bucket = 2}, {.row = 7, .bucket = 2}, {.row = 9, .bucket = 2}}, 3, 3);
  CHECK(plain.take(0, 21).rows == one.take(0, 21).rows);
}

TEST_CASE("order: no pairs at all is an error that says what to do") { CHECK_THROWS_AS(PairOrder({}, 1, 1), DataError); }

namespace {

// Rows below 10 are of the first kind, the others of the second.
std::vector<PairOrder::Item> two_kinds(int64_t first, int64_t second) {
  std::vector<PairOrder::Item> items;
  for (int64_t i = 0; i < first; ++i) items.push_back({.row = i});
  for (int64_t i = 0; i < second; ++i) items.push_back({.row = 10 + i, .second = true});
  return items;
}

int64_t second_ones(const PairOrder::Part& part) {
  return std::count_if(part.rows.begin(), part.rows.end(), [](int64_t row) { return row >= 10; });
}

}  // namespace

TEST_CASE("order: with a share of 0.8 every batch of five has four of the first kind, whatever the data holds") {
  PairOrder order(two_kinds(3, 7), 5, 4, 0.8), late(two_kinds(3, 7), 5, 4, 0.8);
  std::map<int64_t, std::vector<uint64_t>> visits;
  for (int64_t batch = 0; batch < 42; ++batch) {
    const auto part = order.take(5 * batch, 5);
    CHECK(second_ones(part) == 1);
    for (size_t i = 0; i < 5; ++i) visits[part.rows[i]].push_back(part.visits[i]);
  }
  for (const auto& [row, numbers] : visits) {  // 168 of three rows, 42 of seven: each kind counts its own epochs
    CAPTURE(row);
    CHECK(numbers.size() == (row < 10 ? 56 : 6));
    for (size_t i = 0; i < numbers.size(); ++i) CHECK(numbers[i] == i);
  }
  const auto there = order.take(1234, 9), alone = late.take(1234, 9);
  CHECK(there.rows == alone.rows);
  CHECK(there.visits == alone.visits);
}

TEST_CASE("order: kinds are interleaved as evenly as can be; a share of 2 in 3 and of 1 in 2 by the items' own counts") {
  PairOrder halves(two_kinds(4, 4), 2, 1), thirds(two_kinds(4, 2), 3, 1);
  for (int64_t batch = 0; batch < 20; ++batch) {
    CHECK(second_ones(halves.take(2 * batch, 2)) == 1);
    CHECK(second_ones(thirds.take(3 * batch, 3)) == 1);
  }
  // Any place to begin with.
  for (int64_t first = 0; first < 30; ++first) CHECK(second_ones(halves.take(first, 2)) == 1);
}

TEST_CASE("order: with buckets each has its own share, and one kind alone gives that") {
  std::vector<PairOrder::Item> items = two_kinds(4, 4);
  for (int64_t i = 0; i < 4; ++i) items.push_back({.row = 30 + i, .bucket = 1, .second = true});
  PairOrder order(items, 2, 4, 0.5);
  int64_t mixed = 0, alone = 0;
  for (int64_t batch = 0; batch < 60; ++batch) {
    const auto part = order.take(2 * batch, 2);
    if (part.rows[0] >= 30) {
      ++alone;
      CHECK(part.rows[1] >= 30);
    } else {
      ++mixed;
      CHECK(second_ones(part) == 1);
    }
  }
  CHECK(mixed == 40);
  CHECK(alone == 20);
}
