#include <doctest/doctest.h>

#include <regex>
#include <set>

#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;

namespace {

// The commands that `palate --help` lists.
std::set<std::string> commands() {
  const std::string help = test::run_program({"--help"}).out;
  std::set<std::string> names;
  const std::string table = help.substr(help.find("Subcommands:"));
  const std::regex line("\n  ([a-z]+) ");
  for (std::sregex_iterator it(table.begin(), table.end(), line), end; it != end; ++it) names.insert((*it)[1]);
  return names;
}

}  // namespace

TEST_CASE("help: docs/cli holds each command's help text, word for word (tools/update_help writes it)") {
  const auto names = commands();
  CHECK(names.size() >= 12);
  for (const auto& name : names) {
    INFO(name);
    const auto result = test::run_program({name, "--help"});
    CHECK(result.status == 0);
    CHECK(result.out == test::read_text(test::repository() / "docs/cli" / (name + ".txt")));
  }
  CHECK(test::run_program({"--help"}).out == test::read_text(test::repository() / "docs/cli/palate.txt"));
}

TEST_CASE("help: palate help, and palate help VERB, are --help") {
  const auto same = [](const std::vector<std::string>& words, const std::vector<std::string>& as) {
    const auto result = test::run_program(words);
    INFO(result.err);
    CHECK(result.status == 0);
    CHECK(result.out == test::run_program(as).out);
  };
  same({"help"}, {"--help"});
  same({"help", "train"}, {"train", "--help"});
  same({"help", "lora", "merge"}, {"lora", "merge", "--help"});
  CHECK(test::run_program({"help", "trian"}).err.find("unknown command 'trian' (did you mean 'train'?)") != std::string::npos);
}

TEST_CASE("help: the keys of palate train are those that can be set, and name their readers once") {
  const std::string keys = test::run_program({"list", "keys"}).out;
  CHECK(keys.find("  name=prodigy: factor of the rate that is found") != std::string::npos);
  CHECK(keys.find("objective.feedback") == std::string::npos);
  CHECK_FALSE(std::regex_search(keys, std::regex("=([a-z_]+): [^\n]*\\b\\1\\b")));
}

TEST_CASE("help: every command gives an example") {
  for (const auto& name : commands()) {
    INFO(name);
    CHECK(test::run_program({name, "--help"}).out.find("palate " + name) != std::string::npos);
  }
}

TEST_CASE("help: an action of palate lora shows its own flags") {
  const std::string all = test::run_program({"lora", "--help"}).out, merge = test::run_program({"lora", "merge", "--help"}).out;
  for (const char* flag : {"--out", "--exact", "--rank", "--quiet"}) {
    CAPTURE(flag);
    CHECK(merge.find(flag) != std::string::npos);
  }
  CHECK(all.find("--content-prompt TEXT ") != std::string::npos);
  CHECK(merge.find("  --content-prompt") == std::string::npos);
  CHECK(merge.find("merge, resize: ") == std::string::npos);
}
