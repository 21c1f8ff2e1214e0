#include <doctest/doctest.h>

#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;

namespace {

// Wrong use: exit status 2, nothing on stdout, one short message that holds `expected`.
void expect_wrong_use(const std::vector<std::string>& arguments, const std::string& expected) {
  const auto result = test::run_program(arguments);
  const std::string command = arguments.empty() ? "" : arguments[0];
  INFO(command, ": ", result.err);
  CHECK(result.status == 2);
  CHECK(result.out.empty());
  CHECK(result.err.find(expected) != std::string::npos);
}

}  // namespace

TEST_CASE("exit: wrong use is 2, with the reason on stderr") {
  expect_wrong_use({}, "subcommand");
  expect_wrong_use({"no-such-command"}, "no-such-command");
  expect_wrong_use({"train"}, "CONFIG");
  expect_wrong_use({"train", "/no/such/file.toml"}, "/no/such/file.toml");
  expect_wrong_use({"report", "/no/such/folder"}, "/no/such/folder");
  expect_wrong_use({"forward", "--component", "unet"}, "--model");
  expect_wrong_use({"sample", "--model", "/no/such/model", "--prompt", "a", "--out", "/tmp/x"}, "/no/such/model");
}

TEST_CASE("exit: an unknown key names file, line and the nearest key") {
  const auto folder = test::fresh_folder("unknown_key");
  test::write_text(folder / "run.toml", "model = \"m\"\noutput = \"o\"\n[train]\nstesp = 3\n");
  const auto result = test::run_program({"train", (folder / "run.toml").string()});
  CHECK(result.status == 2);
  CHECK(result.err.find("run.toml:4") != std::string::npos);
  CHECK(result.err.find("steps") != std::string::npos);
}

TEST_CASE("exit: stdout holds results only") {
  const auto result = test::run_program({"env", "--json"});
  CHECK(result.status == 0);
  CHECK(result.out.front() == '{');
  CHECK(result.err.empty());
}
