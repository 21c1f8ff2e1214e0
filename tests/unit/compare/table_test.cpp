#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/compare/result.h"
#include "palate/compare/table.h"
#include "palate/core/error.h"
#include "palate/io/csv.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

// One method that was run and one that was not.
Json table_of_two() {
  const Json interval = {{"mean", 0.625}, {"low", 0.5}, {"high", 0.75}};
  Json win = interval, dpo, kto;
  win["win"] = 0.5, win["tie"] = 0.25, win["lose"] = 0.25;
  dpo = {{"name", "dpo_x"}, {"status", "whole"}, {"seeds", {0, 1}},   {"failed_seeds", Json::array()}, {"rate", 1e-3}, {"beta", 100.0},
         {"steps", 240},    {"pairs", 3840.0},   {"passes", 30720.0}, {"trials", Json::array()}};
  dpo["judges"]["oracle"] = {{"win_rate", win}, {"reward", 6.25}, {"gain", interval}, {"parts", {{"acc", 0.75}}}};
  dpo["drift"] = {{"mean", 0.015625}, {"deviation", Json()}};
  dpo["cost"] = {{"seconds", 60.0}, {"processor_seconds", Json()}, {"peak_bytes", 300000000}, {"tuning_seconds", 0.0}};
  kto = {{"name", "kto"},
         {"status", "1 of 1 seed diverged"},
         {"seeds", Json::array()},
         {"failed_seeds", Json::array()},
         {"trials", Json::array()}};
  Json table = {{"seeds", {0, 1}},
                {"compute", {{"equal", "pairs"}, {"amount", 3840.0}}},
                {"tune", {{"trials", 8}, {"prompts", 100}}},
                {"test", {{"prompts", 200}}}};
  table["judges"].push_back({{"name", "oracle"}});
  table["base_scores"]["oracle"] = {{"reward", 5.5}, {"parts", {{"acc", 0.5}}}};
  table["methods"] = {dpo, kto};
  return table;
}

}  // namespace

TEST_CASE("table: the same numbers as text, CSV and LaTeX") {
  const Json table = table_of_two();
  const std::string text = show_table(table);
  CHECK(text.find("dpo_x   62.5 [50.0, 75.0]  6.250") != std::string::npos);
  CHECK(text.find("kto     1 of 1 seed diverged\n") != std::string::npos);
  const auto rows = parse_csv(table_to_csv(table), "csv");
  REQUIRE(rows.size() == 3);
  for (const auto& row : rows) CHECK(row.fields.size() == rows[0].fields.size());
  CHECK(rows[0].fields.back() == "acc");
  CHECK(rows[1].fields.back() == "0.75");
  CHECK(rows[1].fields[4] == "0.625");
  CHECK(rows[2].fields[2] == "1 of 1 seed diverged");
  const std::string latex = table_to_latex(table);
  CHECK(latex.find("dpo\\_x & 62.5 [50.0, 75.0] & 6.250") != std::string::npos);
  CHECK(latex.find("\\toprule") != std::string::npos);
  CHECK(latex.find("kto & \\multicolumn{10}{l}{1 of 1 seed diverged}") != std::string::npos);
  CHECK(equal_text(table).find("each run has 3840 preference pairs seen") != std::string::npos);
}

TEST_CASE("result: what was made with other settings is refused, with the first difference") {
  const auto folder = test::fresh_folder("result");
  CHECK_FALSE(read_result(folder, "a = 1\n").has_value());
  Json scores;
  scores["scores"]["oracle"] = {{"total", {1.5, nullptr}}, {"parts", {{"acc", {0.5, 1}}}}};
  write_result(folder, "a = 1\nb = 2\n", scores);
  const auto same = read_result(folder, "a = 1\nb = 2\n");
  REQUIRE(same.has_value());
  CHECK(scores_of(*same, "oracle")[0] == 1.5);
  CHECK(std::isnan(scores_of(*same, "oracle")[1]));
  CHECK(scores_of(*same, "oracle", "acc") == std::vector<double>{0.5, 1});
  try {
    read_result(folder, "a = 1\nb = 3\n");
    FAIL("expected a refusal");
  } catch (const UsageError& error) {
    CHECK(std::string(error.what()).find("(b = 2, now b = 3)") != std::string::npos);
  }
}
