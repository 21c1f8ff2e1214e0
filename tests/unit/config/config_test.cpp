#include "palate/config/config.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "palate/core/error.h"

using namespace palate;

namespace {

struct Inner {
  double lr = 1e-4;
  int64_t warmup = 0;
  std::vector<std::string> targets = {"to_q"};
  void visit(Fields& f) {
    f("lr", lr, "learning rate", {.min = 0, .max = 1, .aliases = {"learning_rate"}});
    f("warmup", warmup, "steps of warm-up", {.min = 0});
    f("targets", targets, "layers", {.aliases = {"target_modules"}});
  }
};

// What it visits depends on a name that it has just got.
struct Choice {
  std::string loss = "dpo";
  double beta = 2000, gamma = 1;
  void visit(Fields& f) {
    f("loss", loss, "which loss", {.choices = {"dpo", "sft", "kto"}});
    if (loss == "dpo") f("beta", beta, "strength", {.min = 0});
    if (loss == "kto") f("gamma", gamma, "strength", {.min = 0});
  }
};

struct Run {
  std::string output, model = "base";
  int64_t steps = 100;
  bool full = false;
  std::vector<int64_t> sizes = {1, 2};
  std::vector<double> weights;
  Inner optimizer;
  Choice objective;
  void visit(Fields& f) {
    f("output", output, "run folder", {.aliases = {"output_dir"}});
    f.table("optimizer", optimizer, "how weights move");
    f("model", model, "model folder");
    f("steps", steps, "steps; 0: none", {.min = 0, .max = 1000, .aliases = {"max_train_steps"}});
    f("full", full, "train everything");
    f("sizes", sizes, "sizes", {.min = 1});
    f("weights", weights, "weights");
    f.table("objective", objective, "what is minimised");
    f.former("feedback", "pair", "the data says it");
    f.require(optimizer.warmup <= steps, "optimizer.warmup: is above steps; lower it");
  }
};

VisitFields visit_of(Run& run) {
  return [&run](Fields& f) { run.visit(f); };
}

Run load(const std::string& text, std::vector<std::string> overrides = {}) {
  Run run;
  load_config({.file_name = "run.toml", .file_text = text, .overrides = std::move(overrides)}, visit_of(run));
  return run;
}

std::vector<std::string> mistakes(const std::string& text, std::vector<std::string> overrides = {}) {
  try {
    load(text, std::move(overrides));
  } catch (const ConfigError& error) {
    std::vector<std::string> lines{""};
    for (const char c : std::string(error.what())) {
      if (c == '\n')
        lines.emplace_back();
      else
        lines.back() += c;
    }
    return lines;
  }
  return {};
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("config: values of a file, of each type") {
  const Run run =
      load("output = \"o\"\nfull = true\nsizes = [3]\nweights = [1, 2.5]\nsteps = 7\n[optimizer]\nlr = 1\ntargets = [\"a\", \"b\"]\n");
  CHECK(run.output == "o");
  CHECK(run.full);
  CHECK(run.sizes == std::vector<int64_t>{3});
  CHECK(run.weights == std::vector<double>{1, 2.5});
  CHECK(run.steps == 7);
  CHECK(run.optimizer.lr == 1.0);
  CHECK(run.optimizer.targets == Lines{"a", "b"});
  CHECK(run.model == "base");
}

TEST_CASE("config: overrides win over the file, later ones over earlier ones, aliases count as the key") {
  const Run run = load("max_train_steps = 5\n[optimizer]\nlearning_rate = 0.5",
                       {"steps=6", "max_train_steps=9", "optimizer.lr=0.25", "objective.loss=sft", "full=true"});
  CHECK(run.steps == 9);
  CHECK(run.optimizer.lr == 0.25);
  CHECK(run.objective.loss == "sft");
  CHECK(run.full);
}

TEST_CASE("config: override values are TOML, or bare text where text is meant") {
  const Run run =
      load("", {"output=2024", "model=models/sd 15", "sizes=[4, 5]", "optimizer.targets=to_k", "optimizer={warmup = 3}", "weights=1.5"});
  CHECK(run.output == "2024");
  CHECK(run.model == "models/sd 15");
  CHECK(run.sizes == std::vector<int64_t>{4, 5});
  CHECK(run.optimizer.targets == Lines{"to_k"});
  CHECK(run.optimizer.warmup == 3);
  CHECK(run.weights == std::vector<double>{1.5});
  CHECK(load("", {"optimizer.targets=[to_k, ff/net.0]"}).optimizer.targets == Lines{"to_k", "ff/net.0"});  // a shell has taken the quotes
  CHECK(load("", {"output=\"quoted\""}).output == "quoted");
  CHECK(load("", {"output="}).output.empty());
  CHECK(load("", {"output=a=b"}).output == "a=b");
}

TEST_CASE("config: all mistakes at once, each with its line, the nearest name and what was found") {
  const Lines lines = mistakes(
      "output = 3\nstep = 5\nsteps = 2000\n[optimizer]\nlr = \"fast\"\nwarm_up = 1\n[objektive]\nloss = \"x\"\nbeta = 1\n[objective]\nloss "
      "= \"dop\"\n",
      {"optimiser.lr=1", "steps", "full=yes", "optimizer.beta=3"});
  const Lines expected = {
      "steps: expected key=value, for example train.steps=100",
      "run.toml:1: output: expected text in quotes, found the whole number 3",
      "run.toml:5: optimizer.lr: expected a number, found the text 'fast'",
      "run.toml:3: steps: expected 0 to 1000, found the whole number 2000",
      "full=yes: full: expected true or false, found the text 'yes'",
      "run.toml:11: objective.loss: expected dpo, sft or kto (did you mean 'dpo'?), found the text 'dop'",
      "run.toml:7: unknown table 'objektive' (did you mean 'objective'?)",
      "optimiser.lr=1: unknown table 'optimiser' (did you mean 'optimizer'?)",
      "optimizer.beta=3: unknown key 'optimizer.beta' (did you mean 'objective.beta'?)",
      "run.toml:6: unknown key 'optimizer.warm_up' (did you mean 'optimizer.warmup'?)",
      "run.toml:2: unknown key 'step' (did you mean 'steps'?)",
  };
  CHECK(lines == expected);
}

TEST_CASE("config: a key of earlier versions may say what it said then; else the message says what to do instead") {
  CHECK(load("feedback = \"pair\"").model == "base");
  CHECK(mistakes("feedback = \"single\"") == Lines{"run.toml:1: feedback is no key any more: the data says it; remove it"});
  CHECK(mistakes("", {"feedback=3"}) == Lines{"feedback=3: feedback is no key any more: the data says it; remove it"});
  Run run;
  CHECK(config_help(visit_of(run)).find("feedback") == std::string::npos);
  CHECK(config_to_toml(visit_of(run)).find("feedback") == std::string::npos);
}

TEST_CASE("config: of a file that is not TOML only that is said") {
  const Lines lines = mistakes("steps = 1\noutput 3", {"optimizer.warmup=200"});
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].starts_with("run.toml:2:8: is not TOML"));
}

TEST_CASE("config: the keys of a member are known only while it is chosen") {
  CHECK(load("[objective]\nloss = \"kto\"\ngamma = 5").objective.gamma == 5);
  CHECK(mistakes("[objective]\nloss = \"kto\"\nbeta = 5") == Lines{"run.toml:3: unknown key 'objective.beta'; expected gamma or loss"});
  CHECK(load("", {"objective.gamma=7", "objective.loss=kto"}).objective.gamma == 7);  // whatever the order
}

TEST_CASE("config: a key and its alias in one file are a mistake") {
  CHECK(mistakes("steps = 1\nmax_train_steps = 2") ==
        Lines{"run.toml:2: 'max_train_steps' and 'steps' (run.toml:1) mean the same: keep one"});
}

TEST_CASE("config: tables in the place of values and values in the place of tables") {
  CHECK(mistakes("optimizer = 5") == Lines{"run.toml:1: 'optimizer' is a table, expected [optimizer] or optimizer.KEY"});
  CHECK(mistakes("[steps]\nx = 1") == Lines{"run.toml:1: steps: expected a value, found a table"});
  CHECK(mistakes("[nothing]") == Lines{"run.toml:1: unknown table 'nothing'"});
  CHECK(mistakes("[[optimizer]]\nlr = 1").size() == 1);
  CHECK(load("[optimizer]").optimizer.lr == 1e-4);
}

TEST_CASE("config: rules between fields join the mistakes; one on a field that is wrong already stays silent") {
  CHECK(mistakes("steps = 1\n[optimizer]\nwarmup = 2") == Lines{"optimizer.warmup: is above steps; lower it"});
  CHECK(mistakes("steps = -1\n[optimizer]\nwarmup = 200").size() == 2);
  CHECK(mistakes("", {"optimizer.warmup=-1", "steps=0"}).size() == 1);
}

TEST_CASE("config: text that is not TOML, and keys without end") {
  const Lines lines = mistakes("steps = 1\noutput = \n");
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].starts_with("run.toml:2:"));
  std::string dots = "a";
  for (int i = 0; i < 200000; ++i) dots += ".a";
  CHECK(mistakes(dots + " = 1").size() == 1);
  CHECK(mistakes("sizes = " + std::string(200000, '[')).size() == 1);
  CHECK(mistakes("", {dots + "=1"}).size() == 1);
  CHECK(mistakes("", {"a..b=1", "=1"}).size() == 2);
  CHECK(mistakes("x = nan\n[optimizer]\nlr = nan").size() == 2);
}

TEST_CASE("config: text beyond ASCII belongs in quotes or comments; quotes inside long strings confuse no one") {
  CHECK(mistakes("steps = 1\n\xc2\xa7 = 2") == Lines{"run.toml:2: is not TOML: put text that is not plain ASCII in quotes"});
  const Run run = load("# \xc2\xa7 \" '\noutput = \"\"\"say \"\xc3\xa9\"\"\"\"\nmodel = '\xc2\xa7\\'\nsteps = 3 # it's\n",
                       {"optimizer.targets=['\xc2\xa7']"});
  CHECK(run.output == "say \"\xc3\xa9\"");
  CHECK(run.model == "\xc2\xa7\\");
  CHECK(run.steps == 3);
  CHECK(load("", {"output=\xc3\xa9t\xc3\xa9"}).output == "\xc3\xa9t\xc3\xa9");
  CHECK(mistakes("output = \"" + std::string(2000, '.') + "\"").empty());
}

TEST_CASE("config: saved text loads to the same struct") {
  Run run;
  run.output = "a \"b\" \\ \n\t\x01\x7f é 日本";
  run.full = true;
  run.sizes = {};
  run.weights = {0.1, 1e-300, 2000, -0.0, 1e22};
  run.optimizer = {1.0 / 3, 12, {"x", "with, comma"}};
  run.objective.loss = "kto";
  run.objective.gamma = 123456789.125;
  const std::string text = config_to_toml(visit_of(run));
  Run again = load(text);
  CHECK(again.output == run.output);
  CHECK(again.weights == run.weights);
  CHECK(config_to_toml(visit_of(again)) == text);
  CHECK(config_difference(visit_of(run), visit_of(again)).empty());
  // A field that is visited after a table stays outside it.
  CHECK(text.find("model = \"base\"") < text.find("[optimizer]"));
}

TEST_CASE("config: differences and help") {
  Run a, b;
  b.objective.beta = 5000;
  b.steps = 7;
  CHECK(config_difference(visit_of(a), visit_of(b)) == Lines{"steps: 100 -> 7", "objective.beta: 2000 -> 5000"});
  b.objective.loss = "sft";
  const auto lines = config_difference(visit_of(a), visit_of(b));
  CHECK(std::find(lines.begin(), lines.end(), "objective.beta: 2000 -> (not there)") != lines.end());
  const std::string help = config_help(visit_of(a));
  CHECK(help.find("optimizer: how weights move\n") != std::string::npos);
  CHECK(help.find("learning rate; also learning_rate\n") != std::string::npos);
  CHECK(help.find("objective.loss=\"dpo\"") != std::string::npos);
  CHECK(help.find("which loss; dpo, sft or kto\n") != std::string::npos);
}
