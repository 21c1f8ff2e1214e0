#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "palate/compare/plan.h"
#include "palate/core/error.h"
#include "tests/support/paths.h"

using namespace palate;
namespace fs = std::filesystem;

namespace {

CompareConfig config_of(const std::string& methods, const std::string& test) {
  const fs::path folder = test::fresh_folder(test);
  test::write_text(folder / "train.toml", "[train]\nbatch = 4\nsteps = 7\n");
  test::write_text(folder / "compare.toml", "base = \"models/none\"\noutput = \"" + (folder / "out").string() + "\"\ntrain = \"" +
                                                (folder / "train.toml").string() +
                                                "\"\nseeds = [3, 8]\n[compute]\nequal = \"passes\"\namount = 960\n[tune]\ntrials = 4\n"
                                                "rates = [1e-4, 1e-1]\nbetas = [1, 1000]\n" +
                                                methods);
  return read_compare_config(folder / "compare.toml", {});
}

std::string refusal(const std::string& method) {
  const CompareConfig config = config_of(method, "refused");
  try {
    plan_methods(config);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("tuning points: each rate and each beta once, at equal ratios, the same for all methods") {
  Tuning tune;
  tune.trials = 4;
  tune.rates = {1e-4, 1e-1};
  const auto points = tuning_points(tune, {1, 1000}, true);
  // Four values at ratio 10. 0.618 x 4 = 2.47: of 1 and 3, which are prime to 4, 3 is nearer, so betas have ranks 0, 3, 2, 1.
  const double rates[] = {1e-4, 1e-3, 1e-2, 1e-1}, betas[] = {1, 1000, 100, 10};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(points[i].rate == doctest::Approx(rates[i]));
    CHECK(points[i].beta == doctest::Approx(betas[i]));
  }
  const auto without = tuning_points(tune, {1, 1000}, false);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(without[i].rate == points[i].rate);
    CHECK(std::isnan(without[i].beta));
  }
  tune.trials = 1;
  CHECK(tuning_points(tune, {1, 100}, true)[0].rate == doctest::Approx(std::sqrt(1e-5)));
  CHECK(tuning_points(tune, {1, 100}, true)[0].beta == doctest::Approx(10));
  for (tune.trials = 2; tune.trials < 30; ++tune.trials) {
    std::set<int64_t> ranks;
    for (const Point& point : tuning_points(tune, {1, 1000}, true)) ranks.insert(std::llround(1000 * std::log(point.beta)));
    CHECK(static_cast<int64_t>(ranks.size()) == tune.trials);
  }
}

TEST_CASE("plan: a method's beta is found where its loss reads one, and steps are equal compute") {
  const CompareConfig config = config_of(
      "[method.sft]\nset = [\"objective.loss=sft\", \"objective.reference=none\"]\n[method.dpo]\nset = [\"objective.loss=dpo\"]\n"
      "[method.half]\nset = [\"objective.loss=dpo\", \"objective.beta=77\"]\ntune = false\nshare = 0.5\n",
      "plan");
  const auto plan = plan_methods(config);
  REQUIRE(plan.size() == 3);
  CHECK(plan[0].method->name == "sft");  // as the file has them
  CHECK(plan[0].beta_key.empty());
  CHECK(plan[0].points.size() == 4);
  CHECK(plan[0].steps == 80);  // 960 / (4 pairs x 3)
  CHECK(plan[1].beta_key == "objective.beta");
  CHECK(plan[1].steps == 30);  // 960 / (4 x 8)
  CHECK(plan[2].points.empty());
  CHECK(plan[2].steps == 15);

  const RunConfig run = run_config(config, plan[1], plan[1].points[2], 8, plan[1].steps, "folder");
  CHECK(run.seed == 8);
  CHECK(run.train.steps == 30);
  CHECK(run.optimizer.lr == doctest::Approx(1e-2));
  CHECK(number_at(run, "objective.beta") == doctest::Approx(100));
  CHECK(run.output == "folder/run");
  CHECK(run.resume == "latest");
  CHECK(run.data.pairs[0].ends_with("data/seed-8/pairs.parquet"));
  CHECK(number_at(run_config(config, plan[2], Point::unset(), 3, 15, "f"), "objective.beta") == 77);
  CHECK(std::isnan(number_at(run_config(config, plan[0], Point::unset(), 3, 15, "f"), "objective.beta")));
  CHECK(config.tuning_seed() == 9);
}

TEST_CASE("plan: where a run lies and how often it saves are no settings of its result") {
  CompareConfig config = config_of("[method.dpo]\nset = [\"objective.loss=dpo\"]\n", "settings");
  const auto plan = plan_methods(config);
  const auto settings = [&](const char* folder, double rate, int64_t seed) {
    return run_settings(config, run_config(config, plan[0], {rate, 10}, seed, 30, folder), seed);
  };
  const std::string before = settings("a", 1e-3, 3);
  CHECK(before == settings("b", 1e-3, 3));
  CHECK(before != settings("a", 2e-3, 3));
  CHECK(before != settings("a", 1e-3, 8));
  config.threads = 5;
  config.checkpoint_every = 7;
  CHECK(before == settings("a", 1e-3, 3));
  config.data.prompts = 5;
  CHECK(before != settings("a", 1e-3, 3));
}

TEST_CASE("plan: what a method may not set is refused by its name") {
  CHECK(refusal("[method.a]\nset = [\"objective.los=dpo\"]\n").find("method.a: objective.los=dpo: unknown key") == 0);
  CHECK(refusal("[method.a]\nset = [\"train.steps=5\"]\n").find("palate compare sets train.steps itself") != std::string::npos);
  CHECK(refusal("[method.a]\nset = [\"optimizer.lr=5\"]\n").find("tuning looks for optimizer.lr") != std::string::npos);
  CHECK(refusal("[method.a]\nset = [\"objective.beta=5\"]\n").find("tune = false") != std::string::npos);
  CHECK(refusal("[method.a]\nbeta = \"objective.bta\"\n").find("did you mean 'objective.beta'") != std::string::npos);
  CHECK(refusal("[method.a]\npreset = \"sfd\"\n").find("there is no preset 'sfd' (did you mean 'sft'?)") != std::string::npos);
  CHECK(refusal("[method.a]\nset = [\"objective.beta=5\"]\nbeta = \"none\"\n").empty());
}
