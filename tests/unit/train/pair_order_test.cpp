#include <doctest/doctest.h>

#include <algorithm>

#include "palate/core/error.h"
#include "palate/train/pair_order.h"

using namespace palate;

TEST_CASE("order: every epoch sees every pair once, in an order of its own, and counts the epoch as the draw") {
  const std::vector<int64_t> rows = {3, 5, 8, 9, 14, 20, 21};
  PairOrder order(rows, 4);
  const auto first = order.take(0, 7), second = order.take(7, 7);
  auto sorted = first.rows;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == rows);
  sorted = second.rows;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == rows);
  CHECK(first.rows != second.rows);
  CHECK(first.draws == std::vector<uint64_t>(7, 0));
  CHECK(second.draws == std::vector<uint64_t>(7, 1));
}

TEST_CASE("order: it depends on the place alone, not on how the places are taken") {
  std::vector<int64_t> rows(13);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  PairOrder whole(rows, 1), parts(rows, 1), late(rows, 1), other(rows, 2);
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

TEST_CASE("order: no pairs at all is an error that says what to do") { CHECK_THROWS_AS(PairOrder({}, 1), DataError); }
