// The file of cached reference errors: filled once, whole or to be gone on with, never wrong.
#include "palate/objective/reference/error_file.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <fstream>

#include "palate/core/error.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

// Errors that say where they belong: winner 1 + row + 100 draw, loser half of that.
struct Source {
  int64_t filled = 0, stop_after = -1;
  std::pair<Tensor, Tensor> operator()(int64_t first, int64_t count, int64_t draw) {
    if (stop_after >= 0 && filled >= stop_after) throw Error("stopped");
    filled += count;
    const Tensor win = torch::arange(first, first + count).to(torch::kFloat32) + 1 + 100 * draw;
    return {win, win / 2};
  }
};

Tensor expected(int64_t rows, int64_t draws) {
  const Tensor win = torch::arange(rows).to(torch::kFloat32).view({-1, 1}) + 1 + 100 * torch::arange(draws).to(torch::kFloat32);
  return torch::stack({win, win / 2}, 2);
}

}  // namespace

TEST_CASE("error file: [rows, draws, 2] in the right places, and computed once") {
  const auto folder = fresh_folder("errors");
  Source source;
  expect_equal("first", open_error_file(folder, 7, 3, 2, std::ref(source)), expected(7, 3));
  CHECK(source.filled == 21);
  expect_equal("second", open_error_file(folder, 7, 3, 2, std::ref(source)), expected(7, 3));
  CHECK(source.filled == 21);
  CHECK_FALSE(std::filesystem::exists(folder / "errors.partial"));
}

TEST_CASE("error file: goes on where it was stopped, and mends holes") {
  const auto folder = fresh_folder("errors_stopped");
  Source first{.filled = 0, .stop_after = 9};
  CHECK_THROWS_AS(open_error_file(folder, 7, 3, 2, std::ref(first)), Error);
  Source second;
  expect_equal("resumed", open_error_file(folder, 7, 3, 2, std::ref(second)), expected(7, 3));
  CHECK(first.filled + second.filled == 21);

  // A power cut left a batch half zero: that batch alone is computed again.
  const auto broken = fresh_folder("errors_holes");
  Source third{.filled = 0, .stop_after = 14};
  CHECK_THROWS_AS(open_error_file(broken, 7, 3, 2, std::ref(third)), Error);
  {
    std::fstream file(broken / "errors.partial", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(12);
    const char zeros[4] = {};
    file.write(zeros, 4);
  }
  Source fourth;
  expect_equal("mended", open_error_file(broken, 7, 3, 2, std::ref(fourth)), expected(7, 3));
  CHECK(third.filled + fourth.filled == 23);
}

TEST_CASE("error file: a file of another shape is refused") {
  const auto folder = fresh_folder("errors_shape");
  Source source;
  open_error_file(folder, 4, 2, 2, std::ref(source));
  CHECK_THROWS_WITH_AS(open_error_file(folder, 5, 2, 2, std::ref(source)), doctest::Contains("expected float32 errors of shape [5, 2, 2]"),
                       FormatError);
}
