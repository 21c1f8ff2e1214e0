#include "palate/io/json.h"

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/io/atomic_file.h"
#include "tests/support/paths.h"
#include "tests/unit/io/message.h"

using namespace palate;
using namespace palate::test;

TEST_CASE("json: keys keep their order, and files end as diffusers writes them") {
  const auto path = fresh_folder("json") / "config.json";
  write_json(path, parse_json(R"({"z": [1, 2.5], "a": {"b": null}, "text": "é"})", "x"));
  CHECK(read_file(path) == "{\n  \"z\": [\n    1,\n    2.5\n  ],\n  \"a\": {\n    \"b\": null\n  },\n  \"text\": \"é\"\n}\n");
  CHECK(read_json(path)["z"][1].get<double>() == 2.5);
}

TEST_CASE("json: errors name file, line and column") {
  CHECK(message<FormatError>([] { parse_json("{\n  \"a\": 1,\n  \"b\" 2\n}", "dir/c.json"); }).starts_with("dir/c.json:3:7: is not JSON"));
  CHECK(message<FormatError>([] { parse_json("", "c.json"); }).starts_with("c.json:1:1: "));
  CHECK(message<FormatError>([] { parse_json("[1] 2", "c.json"); }).starts_with("c.json:1:5: "));
  CHECK(message<FormatError>([] { parse_json("\"\xff\"", "c.json"); }).starts_with("c.json:1:"));
  CHECK(has(message<FormatError>([] { parse_json("[1e999]", "c.json"); }), "larger than a double"));
}

TEST_CASE("json: a file with Python's infinities is read, text that says so stays, and places in errors too") {
  const auto path = fresh_folder("json_infinity") / "config.json";
  write_file(path, R"({"least": -Infinity, "most": Infinity, "text": "\"-Infinity"})");
  CHECK(read_json(path).dump() == R"({"least":-3e+38,"most":3e+38,"text":"\"-Infinity"})");
  write_file(path, R"({"least": -Infinity, "most": Infinit})");
  CHECK(has(message<FormatError>([&] { read_json(path); }), "config.json:1:3"));
  CHECK_THROWS_AS(parse_json("[-Infinity]", "c.json"), FormatError);
}

TEST_CASE("json: deep nesting is refused before it is parsed, brackets inside text are not nesting") {
  const std::string deep = std::string(1'000'000, '[');
  CHECK(has(message<FormatError>([&] { parse_json(deep, "c.json"); }), "c.json:1:201: JSON nested deeper than 200"));
  CHECK(parse_json("\"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\"", "c.json").is_string());
  CHECK(parse_json(std::string(200, '[') + std::string(200, ']'), "c.json").is_array());
}

TEST_CASE("jsonl: one call a line with its number; blank lines are skipped; errors name the line") {
  const auto path = fresh_folder("jsonl") / "rows.jsonl";
  write_file(path, "{\"a\": 1}\r\n\n  \n[2]\n3");
  std::vector<std::pair<int64_t, std::string>> seen;
  read_jsonl(path, [&](const Json& value, int64_t line) { seen.emplace_back(line, value.dump()); });
  CHECK(seen == std::vector<std::pair<int64_t, std::string>>{{1, "{\"a\":1}"}, {4, "[2]"}, {5, "3"}});
  write_file(path, "{}\n\n{\"a\" 1}\n");
  const std::string text = message<FormatError>([&] { read_jsonl(path, [](const Json&, int64_t) {}); });
  CHECK(text.starts_with(path.string() + ":3:6: "));
}
