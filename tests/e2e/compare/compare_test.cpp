// palate compare on the shipped base, with a handful of steps and prompts.
#include <doctest/doctest.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "palate/io/json.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

const std::string repository = test::repository().string();

// Two methods, two trials and one seed; `boom` diverges at its first step.
std::string comparison(const fs::path& output) {
  return "base = \"" + repository + "/assets/base\"\noutput = \"" + output.string() + "\"\ntrain = \"" + repository +
         "/assets/demo.toml\"\nseeds = [0]\nthreads = 1\ncheckpoint_every = 1\n[data]\nprompts = 12\npictures = 2\n[compute]\nequal = "
         "\"passes\"\n"
         "amount = 256\n[tune]\ntrials = 2\nseed = 7\nprompts = 4\nrates = [1e-3, 3e-3]\nbetas = [30, 300]\n[test]\nprompts = "
         "6\ndrift_draws = 2\n"
         "grid_prompts = 2\ncurve = 2\n[sampling]\nsteps = 2\n"
         "[method.sft]\nset = [\"objective.loss=sft\", \"objective.reference=none\", \"train.batch=4\"]\n"
         "[method.dpo]\nset = [\"objective.loss=dpo\", \"train.batch=4\"]\n"
         "[method.boom]\ntune = false\nset = [\"objective.loss=sft\", \"objective.reference=none\", \"optimizer.lr=1e30\", "
         "\"optimizer.clip_norm=0\", \"optimizer.warmup_steps=0\"]\n";
}

fs::path write_comparison(const fs::path& folder) {
  test::write_text(folder / "compare.toml", comparison(folder / "out"));
  return folder / "compare.toml";
}

// What neither a clock nor the machine gives.
Json timeless(const fs::path& file) {
  Json table = read_json(file);
  for (auto& row : table["methods"]) row.erase("cost");
  return table;
}

}  // namespace

TEST_CASE("compare: methods are tuned, run, compared; killed at random it goes on to the same numbers") {
  const fs::path folder = test::fresh_folder("compare"), config = write_comparison(folder);
  const auto whole = test::run_program({"compare", config.string()});
  INFO(whole.err);
  REQUIRE(whole.status == 0);
  const Json table = timeless(folder / "out/compare.json");
  REQUIRE(table["methods"].size() == 3);
  const Json &sft = table["methods"][0], &dpo = table["methods"][1], &boom = table["methods"][2];
  CHECK(sft["steps"] == 21);  // 256 / (4 x 3)
  CHECK(dpo["steps"] == 8);   // 256 / (4 x 8)
  CHECK(dpo["trials"].size() == 2);
  CHECK(dpo["drift"]["mean"].get<double>() > 0);
  const Json& curve = dpo["judges"]["oracle"]["curve"];  // after 4 of 8 steps, and at the end
  REQUIRE(curve.size() == 2);
  CHECK(curve[0]["step"] == 4);
  CHECK(curve[1]["win_rate"]["mean"] == dpo["judges"]["oracle"]["win_rate"]["mean"]);
  CHECK(boom["status"] == "1 of 1 seed diverged");
  CHECK(boom["failed_seeds"][0]["reason"].get<std::string>().find("is not a finite number") != std::string::npos);
  const double ours = table["pairwise"]["oracle"]["dpo"]["sft"]["mean"], theirs = table["pairwise"]["oracle"]["sft"]["dpo"]["mean"];
  CHECK(ours + theirs == doctest::Approx(1));
  CHECK(read_json(folder / "out/compare.json")["methods"][1]["cost"]["peak_bytes"].get<int64_t>() > 50'000'000);
  for (const char* name : {"compare.csv", "compare.tex", "compare.html"}) CHECK(fs::exists(folder / "out" / name));
  const std::string page = test::read_text(folder / "out/compare.html");
  CHECK(page.find("data:image/png;base64,") != std::string::npos);
  CHECK(page.find("also made the labels") != std::string::npos);
  CHECK(page.find("src=\"http") == std::string::npos);

  // The base's pictures and the pairs stay; everything else is made again, killed again and again.
  const fs::path again = test::fresh_folder("compare_killed");
  test::write_text(again / "compare.toml", comparison(again / "out"));
  fs::create_directories(again / "out");
  for (const char* kept : {"base", "data"}) fs::copy(folder / "out" / kept, again / "out" / kept, fs::copy_options::recursive);
  int killed = 0;
  for (int attempt = 0; attempt < 60; ++attempt) {
    const int patience = attempt < 6 ? 2500 + 900 * attempt : 600'000;
    const auto part = test::run_and_signal({"compare", (again / "compare.toml").string()}, patience, SIGKILL);
    INFO(part.err);
    REQUIRE((part.status == 0 || part.status == 128 + SIGKILL));
    if (part.status == 0) break;
    ++killed;
  }
  CHECK(killed > 0);
  CHECK(timeless(again / "out/compare.json") == table);

  // What is there is not done again, and a change that would mix results is refused.
  const auto report = test::run_program({"compare", config.string(), "--report", "--json"});
  CHECK(report.status == 0);
  CHECK(Json::parse(report.out)["methods"][1]["judges"] == table["methods"][1]["judges"]);
  const auto plan = test::run_program({"compare", config.string(), "--dry-run", "--json"});
  CHECK(Json::parse(plan.out)["left"] == 0);
  const auto mixed = test::run_program({"compare", config.string(), "sampling.guidance_scale=4"});
  CHECK(mixed.status == 2);
  CHECK(mixed.err.find("one table holds no mixture") != std::string::npos);
  const auto more = test::run_program({"compare", config.string(), "seeds=[0, 1]", "--dry-run", "--json"});
  CHECK(Json::parse(more.out)["left"] == 3);
}

TEST_CASE("compare: wrong input is one sentence, before anything is made") {
  const fs::path folder = test::fresh_folder("compare_refused"), config = write_comparison(folder);
  const auto refused = [&](const std::vector<std::string>& words, const std::string& expected) {
    std::vector<std::string> all = {"compare", config.string()};
    all.insert(all.end(), words.begin(), words.end());
    const auto result = test::run_program(all);
    INFO(result.err);
    CHECK(result.status == 2);
    CHECK(result.err.find(expected) != std::string::npos);
    CHECK_FALSE(fs::exists(folder / "out"));
  };
  refused({"method.dpo.sett=[a=1]"}, "unknown key");
  refused({"method.dpo.set=[objective.loss=dpoo]"}, "method.dpo: objective.loss=dpoo");
  refused({"judges=[orakle]"}, "did you mean 'oracle'?");
  refused({"seeds=[]"}, "seeds is empty");
  refused({"--only", "dpoo"}, "did you mean 'dpo'?");
  refused({"base=nowhere"}, "nowhere");
  refused({"train=nowhere.toml"}, "nowhere.toml");
  test::write_text(folder / "prompts.txt", "a big red circle on a white background\n");
  const std::string file = (folder / "prompts.txt").string();
  refused({"tune.file=" + file, "tune.prompts=1", "test.file=" + file, "test.prompts=1"}, "is a development prompt too");
  test::write_text(config, comparison(folder / "out").substr(0, comparison(folder / "out").find("[method.sft]")));
  refused({}, "there is no method to compare");
}
