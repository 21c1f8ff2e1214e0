// palate compare: methods x seeds under equal compute, each tuned under one budget, in one table.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/compare/page.h"
#include "palate/compare/runner.h"
#include "palate/compare/table.h"
#include "palate/config/config.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/io/atomic_file.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

struct CompareFlags {
  std::string config, only;
  std::vector<std::string> overrides;
  bool keys = false, dry_run = false, report = false, json = false;
};

void print_plan(CompareRunner& runner, const std::vector<Unit>& units, bool json) {
  Json list = Json::array();
  std::vector<Unit> left;
  for (const Unit& unit : units) {
    const bool done = runner.done(unit);
    if (!done) left.push_back(unit);
    const double seconds = done ? 0 : runner.forecast({unit});
    list.push_back({{"run", runner.name(unit)}, {"folder", runner.folder(unit).string()}, {"done", done}, {"seconds", seconds}});
    if (!json) std::printf("%-34s %s\n", runner.name(unit).c_str(), done ? "done" : ("about " + show_duration(seconds)).c_str());
  }
  const double seconds = runner.forecast(left);
  if (json) {
    std::printf("%s\n", Json{{"runs", list}, {"left", left.size()}, {"seconds", seconds}}.dump().c_str());
  } else {
    std::printf("%zu runs, %zu of them left: about %s, besides the pairs and the base's pictures\n", units.size(), left.size(),
                show_duration(seconds).c_str());
  }
}

void write_tables(const CompareConfig& config, const CompareRunner& runner, bool json) {
  const fs::path folder = config.output;
  const Json table = compare_table(config, runner);
  write_json(folder / "compare.json", table);
  write_file(folder / "compare.csv", table_to_csv(table));
  write_file(folder / "compare.tex", table_to_latex(table));
  write_file(folder / "compare.html", compare_page(config, runner, table));
  if (json) {
    std::printf("%s\n", table.dump().c_str());
  } else {
    std::printf("%s\n%s\n%s\n", show_table(table).c_str(), equal_text(table).c_str(), (folder / "compare.html").c_str());
  }
}

void print_keys() {
  CompareConfig config;
  config.methods.emplace_back().name = "NAME";
  std::printf("%s", config_help([&](Fields& f) { config.visit(f); }).c_str());
}

void run(const CompareFlags& flags) {
  if (flags.keys) return print_keys();
  check<UsageError>(!flags.config.empty(),
                    "compare needs a CONFIG file; configs/compare_embedded.toml is a complete one, and --keys says what it may hold");
  const CompareConfig config = read_compare_config(flags.config, flags.overrides);
  set_threads(config.threads);
  CompareRunner runner(config);
  const auto units = runner.units(flags.only);
  if (flags.dry_run) return print_plan(runner, units, flags.json);
  bool whole = true;
  {
    const InterruptGuard guard;
    if (!flags.report) whole = runner.run(units);
    if (interrupted() != 0) fail<Error>("interrupted; the same command goes on where it was");
  }
  write_tables(config, runner, flags.json);
  check<Error>(whole, "some runs failed and are not in the table; the same command tries them again");
}

}  // namespace

void add_compare(CLI::App& app) {
  auto flags = std::make_shared<CompareFlags>();
  app.add_option("CONFIG", flags->config, "the comparison's TOML file (configs/compare_embedded.toml)");
  app.add_option("KEY=VALUE", flags->overrides, "settings over those of the file: seeds=[0] method.dpo.tune=false");
  app.add_option("--only", flags->only, "trials and runs of this method alone")->type_name("METHOD");
  app.add_flag("--report", flags->report, "run nothing: make the tables and the page of what is there");
  app.add_flag("--dry-run", flags->dry_run, "print what would be run and how long it would take, and stop");
  app.add_flag("--keys", flags->keys, "print every KEY with its default and meaning, and stop");
  app.add_flag("--json", flags->json, "one JSON object on stdout");
  app.footer(
      "Trains every method with every seed on the same data and under equal compute, after a search for its own rate and beta with the\n"
      "same number of trials for all, on development prompts; then compares the pictures on test prompts, with the same noise for all.\n"
      "Writes compare.json, compare.csv, compare.tex and compare.html (one page with tables, curves and pictures) into the output folder.\n"
      "Stopped in any way, the same command goes on where it was; started twice, two processes share the work.\n"
      "Examples:\n  palate compare configs/compare_embedded.toml --dry-run\n  palate compare configs/compare_embedded.toml\n"
      "  palate compare configs/compare_embedded.toml --report");
  app.callback([flags] { run(*flags); });
}

}  // namespace palate
