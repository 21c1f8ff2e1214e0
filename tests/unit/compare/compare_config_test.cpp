#include <doctest/doctest.h>

#include "palate/compare/compare_config.h"
#include "palate/core/error.h"
#include "tests/support/paths.h"

using namespace palate;

namespace {

const std::string common = "base = \"b\"\noutput = \"o\"\ntrain = \"t.toml\"\n", compute = "[compute]\namount = 10\n";

CompareConfig read(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const auto file = test::fresh_folder("compare_config") / "compare.toml";
  test::write_text(file, text);
  return read_compare_config(file, overrides);
}

std::string complaint(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    read(text, overrides);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("compare config: methods stand in the order of the file, and overrides reach them") {
  const CompareConfig config =
      read(common + "seeds = [4, 2]\n" + compute + "[method.z]\nset = [\"a=1\"]\n[method.b]\ntune = false\n[method.m]\n",
           {"method.b.share=0.5", "tune.trials=3"});
  REQUIRE(config.methods.size() == 3);
  CHECK(config.methods[0].name == "z");
  CHECK(config.methods[0].set == std::vector<std::string>{"a=1"});
  CHECK(config.methods[1].name == "b");
  CHECK_FALSE(config.methods[1].tune);
  CHECK(config.methods[1].share == 0.5);
  CHECK(config.tune.trials == 3);
  CHECK(config.tuning_seed() == 5);
  CHECK(read(common + "seeds = [4]\n" + compute + "[method.a]\n", {"tune.seed=9"}).tuning_seed() == 9);
}

TEST_CASE("compare config: what is missing or misspelt is one sentence") {
  const std::string method = "[method.a]\n";
  CHECK(complaint(common + "seeds = [0]\n" + compute).find("there is no method to compare") != std::string::npos);
  CHECK(complaint(common + "seeds = []\n" + compute + method).find("seeds is empty") != std::string::npos);
  CHECK(complaint(common + "seeds = [1]\n" + compute + method, {"tune.seed=1"}).find("chosen for their luck") != std::string::npos);
  CHECK(complaint(common + "seeds = [1, 1]\n" + compute + method).find("named twice") != std::string::npos);
  CHECK(complaint(common + "seeds = [1]\n" + method).find("compute.amount") != std::string::npos);
  CHECK(complaint(common + "seeds = [1]\n" + compute + "[method.a]\nsett = []\n").find("did you mean 'method.a.set'?") !=
        std::string::npos);
  CHECK(complaint(common + "seeds = [1]\n" + compute + "[method.base]\n").find("neither base nor data") != std::string::npos);
  CHECK(complaint(common + "seeds = [1]\n" + compute + method, {"tune.rates=[1e-2, 1e-3]"}).find("the first above the second") !=
        std::string::npos);
}
