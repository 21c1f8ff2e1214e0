#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdlib>

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
  expect_wrong_use({}, "expected a command");
  expect_wrong_use({"no-such-command"}, "no-such-command");
  expect_wrong_use({"train"}, "CONFIG");
  expect_wrong_use({"train", "/no/such/file.toml"}, "/no/such/file.toml");
  expect_wrong_use({"report", "/no/such/folder"}, "/no/such/folder");
  expect_wrong_use({"forward", "--component", "unet"}, "--model");
  expect_wrong_use({"sample", "--model", "/no/such/model", "--prompt", "a", "--out", (test::fresh_folder("wrong_use") / "x").string()},
                   "/no/such/model");
}

TEST_CASE("flags: those that every command has may stand before it") {
  const auto result = test::run_program({"--quiet", "-v", "list", "losses"});
  CHECK(result.status == 0);
  CHECK(result.out == test::run_program({"list", "losses"}).out);
}

TEST_CASE("exit: a misspelt flag names the nearest; numbers say what they may be; a flag twice is refused") {
  expect_wrong_use({"train", "--dry-rn"}, "did you mean '--dry-run'?");
  expect_wrong_use({"trian"}, "did you mean 'train'?");
  const std::vector<std::string> sample = {"sample", "--model", "m", "--prompt", "a", "--out", "o"};
  const auto with = [&](std::initializer_list<const char*> more) {
    auto all = sample;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  expect_wrong_use(with({"--count", "-1"}), "expected a whole number from 1 to");
  expect_wrong_use(with({"--guidance-scale", "nan"}), "found 'nan'");
  expect_wrong_use(with({"--steps", "2", "--steps", "3"}), "--steps is given more than once");
  expect_wrong_use({"eval", "--model", "m", "--out", "o", "--count", "0"}, "expected a whole number from 1 to");
  expect_wrong_use({"demo", "--pairs", "many"}, "found 'many'");
}

TEST_CASE("exit: a file of prompts may come from Windows, but must be UTF-8") {
  const auto folder = test::fresh_folder("prompts");
  test::write_text(folder / "bad.txt", "a circle\r\n\xff\xfe\n");
  test::write_text(folder / "empty.txt", "\xEF\xBB\xBF\r\n  \r\n");
  expect_wrong_use({"sample", "--model", "m", "--out", "o", "--prompts", (folder / "bad.txt").string()}, "bad.txt:2: is not UTF-8");
  expect_wrong_use({"sample", "--model", "m", "--out", "o", "--prompts", (folder / "empty.txt").string()}, "found none");
}

TEST_CASE("exit: a result that cannot be printed is a failed run") {
  const std::string command =
      std::string(std::getenv("PALATE_BINARY") ? std::getenv("PALATE_BINARY") : "build/palate") + " list losses > /dev/full 2> /dev/null";
  CHECK(WEXITSTATUS(std::system(command.c_str())) == 1);
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
