// Rows come as if they were read one after the other, however many are read ahead and by however many threads.
#include "palate/data/readers/row_reader.h"

#include <ATen/Parallel.h>
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "tests/support/expect_close.h"
#include "tests/unit/data/fake_encoders.h"

using namespace palate;
using namespace palate::test;

namespace {

std::string message_of(const std::exception_ptr& error) {
  return error_of([&] {
    if (error) std::rethrow_exception(error);
  });
}

}  // namespace

TEST_CASE("row reader: every row is what its source and its framing give, in order, from any row on") {
  const DataConfig config = golden_config();  // 12 rows: ties, one without a label, and row 7 with a picture that is cut short
  const auto source = open_pairs(config), read_apart = open_pairs(config);
  Framing framing(config, 16, 4);
  const int before = at::get_num_threads();
  for (const int threads : {1, 3}) {
    at::set_num_threads(threads);
    for (const int64_t first : {0, 5, 11}) {
      RowReader reader(*source, framing, first);
      int pictures = 0, unreadable = 0, others = 0;
      for (int64_t row = first; row < source->rows(); ++row) {
        CAPTURE(row);
        PairRecord expected;
        const bool example = read_apart->read(row, expected);
        const ReadRow got = reader.take();
        CHECK(got.record.origin == expected.origin);
        CHECK(got.record.id == expected.id);
        CHECK((got.record.kind == expected.kind));
        CHECK(got.record.win.empty());  // the bytes are not kept
        if (row == 7) {
          ++unreadable;
          CHECK_FALSE(got.example);
          CHECK(has(message_of(got.error), "row 7: jpg_1"));
          continue;
        }
        CHECK(message_of(got.error) == "");
        CHECK(got.example == example);
        if (!example) {
          ++others;
          continue;
        }
        ++pictures;
        const Views views = framing.views(expected);
        REQUIRE(got.views.images.size() == views.images.size());
        for (size_t i = 0; i < views.images.size(); ++i) expect_equal("picture", got.views.images[i], views.images[i]);
      }
      if (first == 0) {
        CHECK(pictures == 8);
        CHECK(unreadable == 1);
        CHECK(others == 3);  // two ties and the row without a label
      }
      CHECK_THROWS_AS(reader.take(), Error);
    }
  }
  at::set_num_threads(before);
}

TEST_CASE("row reader: it may be left in the middle") {
  const DataConfig config = golden_config();
  const auto source = open_pairs(config);
  Framing framing(config, 16, 4);
  { const RowReader reader(*source, framing, 2); }  // while rows are being read
  RowReader again(*source, framing, 4);
  PairRecord expected;
  open_pairs(config)->read(4, expected);
  CHECK(again.take().record.id == expected.id);
}
