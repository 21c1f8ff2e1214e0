#include <algorithm>

#include "palate/config/config.h"
#include "tests/fuzz/targets.h"

namespace {

struct Table {
  double rate = 0.5;
  std::vector<std::string> names = {"a"};
  std::string kind = "x";
  void visit(palate::Fields& f) {
    f("rate", rate, "a number", {.min = 0, .aliases = {"lr"}});
    f("names", names, "a list");
    f("kind", kind, "a word", {.choices = {"x", "y"}});
  }
};

struct Config {
  std::string text;
  int64_t steps = 1;
  bool flag = false;
  std::vector<int64_t> sizes;
  std::vector<double> weights;
  Table table;
  void visit(palate::Fields& f) {
    f("text", text, "text");
    f("steps", steps, "a whole number", {.min = 0, .max = 100});
    f("flag", flag, "yes or no");
    f("sizes", sizes, "whole numbers");
    f("weights", weights, "numbers");
    f.table("table", table, "a table");
    f.require(steps <= 50 || flag, "steps: too many");
  }
};

}  // namespace

// The first line is an override, the rest a file.
void palate::fuzz::toml(std::string_view bytes) {
  const size_t end = std::min(bytes.find('\n'), bytes.size());
  ConfigSource source{"fuzz", std::string(bytes.substr(end)), {}};
  if (end > 0) source.overrides.emplace_back(bytes.substr(0, end));
  Config config;
  const VisitFields visit = [&](Fields& f) { config.visit(f); };
  load_config(source, visit);
  promise(config.steps >= 0 && config.steps <= 100 && (config.table.kind == "x" || config.table.kind == "y"), "a limit does not hold");
  const std::string saved = config_to_toml(visit);
  Config again;
  const VisitFields visit_again = [&](Fields& f) { again.visit(f); };
  load_config({"saved", saved, {}}, visit_again);
  promise(config_difference(visit, visit_again).empty(), "what was saved loads to something else");
}
