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

TEST_CASE("exit: a wrong value, a flag without one and an argument too many are said in one sentence") {
  expect_wrong_use({"list", "loses"}, "what: expected losses, error-spaces,");
  expect_wrong_use({"list", "loses"}, "found 'loses' (did you mean 'losses'?); palate list --help");
  expect_wrong_use({"sample", "--model", "m", "--prompt", "a", "--out", "o", "--steps"}, "--steps: expected a value after it, found none");
  expect_wrong_use({"sample", "--model", "m", "--prompt", "a", "--out", "o", "--strength", "0.5"},
                   "goes with --init-image, which is not given");
  expect_wrong_use({"step", "--objective", "dpo", "--config", "c", "--in", "i", "--out", "o"}, "does not go with");
  expect_wrong_use({"bench", "step", "--steps", "-1"}, "--steps: expected a number from 1 to 100000, found '-1'");
  expect_wrong_use({"judge", "a", "one", "two"}, "expected no more arguments, found 'one' 'two';");
}

TEST_CASE("exit: a model or an input that is not there is wrong use of every command, and leaves nothing") {
  const auto folder = test::fresh_folder("not_there");
  const std::string out = (folder / "out").string(), lora = (folder / "empty.safetensors").string(), no_model = "/no/such/model",
                    no_file = "/no/such/file";
  const std::string tiny = test::golden("tiny_pipeline").string(), base = (test::repository() / "assets/base").string();
  test::write_text(folder / "empty.safetensors", "");
  const std::string there_is_none = "there is no such folder or file";
  expect_wrong_use({"step", "--model", no_model, "--objective", "sft", "--full", "--in", lora, "--out", out}, there_is_none);
  expect_wrong_use({"step", "--model", folder, "--objective", "sft", "--full", "--in", lora, "--out", out}, "found none of unet/ in it");
  expect_wrong_use({"step", "--model", tiny, "--objective", "sft", "--full", "--in", no_file, "--out", out},
                   "--in /no/such/file: there is");
  expect_wrong_use({"forward", "--model", no_model, "--component", "unet", "--in", lora, "--out", out}, there_is_none);
  expect_wrong_use({"forward", "--model", tiny, "--component", "unet", "--in", folder, "--out", out}, "expected a file, found a folder");
  expect_wrong_use({"sample", "--model", no_model, "--prompt", "a", "--out", out}, there_is_none);
  expect_wrong_use({"sample", "--model", tiny, "--prompt", "a", "--out", out, "--latents", no_file},
                   "--latents /no/such/file: there is no");
  expect_wrong_use({"eval", "--model", no_model, "--base", base, "--out", out}, there_is_none);
  expect_wrong_use({"world", "--base", no_model, "--pairs", "2", "--out", out}, there_is_none);
  expect_wrong_use({"world", "--scenes", "0", "--out", out}, "makes nothing");
  expect_wrong_use({"inspect", no_model}, there_is_none);
  expect_wrong_use({"convert", no_model, out, "--to", "diffusers"}, there_is_none);
  expect_wrong_use({"train", "model=" + no_model, "data.pairs=p.jsonl", "output=" + out, "--dry-run"}, there_is_none);
  const auto late = test::run_program({"eval", "--model", base, "--lora", lora, "--out", out});  // before 800 pictures are drawn
  CHECK(late.status == 1);
  CHECK(late.err.find("empty.safetensors: is too short") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(out));
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
