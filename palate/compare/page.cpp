#include "palate/compare/page.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "palate/compare/result.h"
#include "palate/compare/table.h"
#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/core/progress.h"
#include "palate/io/atomic_file.h"
#include "palate/report/html.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr const char* page_style = R"(<style>
.grid{border-collapse:collapse;display:block;overflow-x:auto}
.grid th,.grid td{padding:2px 3px;border:0;text-align:center;vertical-align:middle}
.grid td:first-child{white-space:normal;min-width:150px;max-width:190px;font-size:12px;color:var(--soft);text-align:left}
.grid img{width:64px;height:64px;image-rendering:pixelated;display:block}
.matrix td,.matrix th{text-align:center;padding:5px 8px}.matrix td small{display:block;color:var(--soft)}
.better{background:#16a34a33}.worse{background:#dc262633}
.wide .chart{max-width:760px}
</style>
)";

double number_or_nan(const Json& value) { return value.is_number() ? value.get<double>() : std::nan(""); }

ChartPoint chart_point(const std::string& name, double x, const Json& interval, double scale) {
  const auto value = [&](const char* key) { return interval.is_null() ? std::nan("") : scale * number_or_nan(interval.at(key)); };
  return {name, x, value("mean"), value("low"), value("high")};
}

// Rows of the methods that have reported runs.
std::vector<Json> measured_rows(const Json& table) {
  std::vector<Json> rows;
  for (const auto& row : table.at("methods")) {
    if (row.contains("judges")) rows.push_back(row);
  }
  return rows;
}

std::string signed_interval(const Json& interval) {
  if (interval.is_null()) return "-";
  return number_text(interval.at("mean"), "%+.3f") + " [" + number_text(interval.at("low"), "%+.3f") + ", " +
         number_text(interval.at("high"), "%+.3f") + "]";
}

std::string with_deviation(const Json& spread) {
  if (spread.is_null()) return "-";
  const std::string mean = number_text(spread.at("mean"), "%.4g");
  return spread.at("deviation").is_null() ? mean : mean + " ± " + number_text(spread.at("deviation"), "%.2g");
}

void win_section(Page& page, const Json& table, const std::string& judge) {
  Rows rows = {{"base", "50", "", number_text(table.at("base_scores").at(judge).at("reward"), "%.3f"), "", "0", ""}};
  std::vector<ChartPoint> chart, front;
  for (const auto& row : table.at("methods")) {
    if (!row.contains("judges")) {
      rows.push_back({row.at("name"), row.at("status"), "", "", "", "", "0"});
      continue;
    }
    const Json& by = row.at("judges").at(judge);
    const Json& win = by.at("win_rate");
    rows.push_back({row.at("name"), percent_interval(win),
                    number_text(100 * win.at("win").get<double>(), "%.1f") + " / " +
                        number_text(100 * win.at("tie").get<double>(), "%.1f") + " / " +
                        number_text(100 * win.at("lose").get<double>(), "%.1f"),
                    number_text(by.at("reward"), "%.3f"), signed_interval(by.at("gain")), with_deviation(row.at("drift")),
                    row.at("status") == "whole" ? std::to_string(row.at("seeds").size()) : row.at("status").get<std::string>()});
    chart.push_back(chart_point(row.at("name"), 0, win, 100));
    if (!row.at("drift").is_null())
      front.push_back(chart_point(row.at("name"), number_or_nan(row.at("drift").at("mean")), by.at("gain"), 1));
  }
  front.push_back({"base", 0, 0, std::nan(""), std::nan("")});
  page.table({"method", "win rate % against base", "wins / ties / losses", "reward", "gain over base", "drift", "seeds"}, rows);
  page.raw("<div class=\"wide\">" + interval_chart("Win rate against the base", "% with 95% interval over seeds and prompts", chart, 50) +
           scatter_chart("Front", "drift from the base", "gain in reward", front) + "</div>\n");
  page.paragraph(
      "Drift: mean square of the difference between the method's and the base's predicted noise, over prompts and the same draws of (t, "
      "noise), at "
      "noised pictures of the base; ± is the standard deviation between seeds.");
}

// Green: the row's method is better, and the whole interval says so.
void matrix_section(Page& page, const Json& table, const std::string& judge) {
  const Json& pairs = table.at("pairwise").at(judge);
  std::string html = "<table class=\"matrix\"><tr><th>% won by row against column</th>";
  for (const auto& row : measured_rows(table)) html += "<th>" + escape_html(row.at("name").get<std::string>()) + "</th>";
  html += "</tr>\n";
  for (const auto& row : measured_rows(table)) {
    const std::string name = row.at("name");
    html += "<tr><td>" + escape_html(name) + "</td>";
    for (const auto& column : measured_rows(table)) {
      const Json cell = pairs.value(name, Json::object()).value(column.at("name").get<std::string>(), Json());
      if (cell.is_null()) {
        html += "<td></td>";
        continue;
      }
      const double low = cell.at("low"), high = cell.at("high");
      html += std::string("<td") +
              (low > 0.5    ? " class=\"better\""
               : high < 0.5 ? " class=\"worse\""
                            : "") +
              ">" + number_text(100 * cell.at("mean").get<double>(), "%.1f") + "<small>" + number_text(100 * low, "%.1f") + " to " +
              number_text(100 * high, "%.1f") + "</small></td>";
    }
    html += "</tr>\n";
  }
  page.raw(html + "</table>\n");
  page.paragraph("Coloured where the 95% interval leaves 50% out. The intervals are not corrected for the number of comparisons.");
}

void attribute_section(Page& page, const Json& table, const std::string& judge) {
  const Json& base = table.at("base_scores").at(judge).at("parts");
  std::vector<std::string> head = {"mean score"};
  Rows rows = {{"base"}};
  for (const auto& [part, value] : base.items()) {
    head.push_back(part);
    rows[0].push_back(number_text(value, "%.3f"));
  }
  for (const auto& row : measured_rows(table)) {
    const Json& by = row.at("judges").at(judge);
    std::vector<std::string> cells = {row.at("name")};
    for (const auto& [part, value] : base.items()) {
      const Json& gain = by.at("part_gain").at(part);
      const bool sure = !gain.is_null() && (gain.at("low").get<double>() > 0 || gain.at("high").get<double>() < 0);
      cells.push_back(number_text(by.at("parts").at(part), "%.3f") + (sure ? " *" : ""));
    }
    rows.push_back(cells);
  }
  page.table(head, rows);
  page.paragraph("* differs from the base: the 95% interval of the gain leaves 0 out. A prompt counts where it asks for the attribute.");
}

// A rate or beta that is the lowest or highest that was tried: the best may lie beyond.
std::string edge_mark(const Json& row, const std::string& key) {
  std::set<double> tried;
  for (const auto& trial : row.at("trials")) {
    if (trial.contains(key) && trial.at(key).is_number()) tried.insert(trial.at(key).get<double>());
  }
  if (tried.size() < 2 || !row.contains(key) || !row.at(key).is_number()) return "";
  const double chosen = row.at(key);
  return chosen == *tried.begin() ? "≤ " : chosen == *tried.rbegin() ? "≥ " : "";
}

void budget_section(Page& page, const Json& table) {
  Rows rows;
  for (const auto& row : table.at("methods")) {
    const Json& cost = row.at("cost");
    std::vector<std::string> cells = {row.at("name"), std::to_string(row.at("trials").size())};
    for (const char* key : {"rate", "beta", "steps", "pairs", "passes"})
      cells.push_back(edge_mark(row, key) +
                      (row.contains(key) ? number_text(row.at(key), std::string(key) == "rate" ? "%.2g" : "%.6g") : "-"));
    // A beta that is none of the loss's own is named.
    const std::string tuned = row.at("beta_key");
    if (!tuned.empty() && tuned != "objective.beta") cells[3] += " (" + tuned.substr(tuned.rfind('.') + 1) + ")";
    const auto cost_of = [&](const char* key, double scale, const char* pattern) {
      return cost.contains(key) && cost.at(key).is_number() ? number_text(scale * cost.at(key).get<double>(), pattern) : "-";
    };
    cells.push_back(cost_of("seconds", 1, "%.1f"));
    cells.push_back(cost_of("processor_seconds", 1, "%.1f"));
    cells.push_back(cost_of("peak_bytes", 1e-6, "%.0f"));
    cells.push_back(show_duration(cost.at("tuning_seconds")));
    rows.push_back(cells);
  }
  page.table(
      {"method", "trials", "rate", "beta", "steps", "pairs seen", "network passes", "seconds", "processor s", "peak MB", "tuning took"},
      rows);
  page.paragraph(
      "Per run; seconds are the mean over seeds: the updates by the wall's clock, and the whole process by its processor time (known of "
      "runs that were "
      "not stopped). Memory is the largest resident size of a training process of its own (VmHWM). Rate and beta are those of the trial "
      "with the best "
      "win rate on development prompts, equal ones told apart by the mean gain; no test prompt is among these, and the trials' seed is "
      "none of those that "
      "are reported. ≤ and ≥: the lowest or highest that was tried, so the best may lie beyond.");
}

void trial_section(Page& page, const Json& table) {
  Rows rows;
  for (const auto& row : table.at("methods")) {
    for (const auto& trial : row.at("trials")) {
      const bool failed = trial.contains("failed");
      rows.push_back({row.at("name"), number_text(trial.at("rate"), "%.3g"), number_text(trial.at("beta"), "%.3g"),
                      failed ? trial.at("failed").get<std::string>() : number_text(100 * trial.at("win_rate").get<double>(), "%.1f"),
                      failed ? "" : number_text(trial.at("gain"), "%+.3f")});
    }
  }
  if (!rows.empty()) page.table({"trials", "rate", "beta", "win rate %, development", "gain"}, rows);
}

void failure_section(Page& page, const Json& table) {
  Rows rows;
  for (const auto& row : table.at("methods")) {
    for (const auto& failure : row.at("failed_seeds"))
      rows.push_back({row.at("name").get<std::string>() + ", seed " + failure.at("seed").dump(), failure.at("reason")});
  }
  if (rows.empty()) return;
  page.heading("Runs that diverged");
  page.table({"run", "reason"}, rows);
}

// Win rates of intermediate states.
void progress_section(Page& page, const Json& table, const std::string& judge) {
  std::vector<Series> by_steps, by_share;
  for (const auto& row : measured_rows(table)) {
    Series steps{row.at("name"), {}}, share{row.at("name"), {}};
    for (const auto& point : row.at("judges").at(judge).value("curve", Json::array())) {
      const double at = point.at("step"), rate = 100 * point.at("win_rate").at("mean").get<double>();
      steps.points.emplace_back(at, rate);
      share.points.emplace_back(at / row.at("steps").get<double>(), rate);
    }
    if (steps.points.empty()) continue;
    by_steps.push_back(std::move(steps));
    by_share.push_back(std::move(share));
  }
  if (by_steps.empty()) return;
  page.raw("<div class=\"charts\">" + line_chart("win rate % against base", "step", by_steps) +
           line_chart("win rate % against base", "share of the compute", by_share) + "</div>\n");
  page.paragraph("States on the way to the reported ones, the learning rate's schedule not yet at its end.");
}

// metrics.jsonl of each method's first reported seed.
void curve_section(Page& page, const CompareConfig& config, const Json& table) {
  const std::set<std::string> machine = {"step", "epoch", "memory_gb", "pairs_per_second", "pictures_per_second"};  // of no method's own
  std::map<std::string, std::vector<Series>> curves;
  for (const auto& row : measured_rows(table)) {
    const fs::path run = fs::path(config.output) / row.at("name").get<std::string>() / ("seed-" + row.at("seeds").at(0).dump()) / "run";
    if (!fs::exists(run / "metrics.jsonl")) continue;
    std::map<std::string, Series> series;
    read_jsonl(run / "metrics.jsonl", [&](const Json& line, int64_t) {
      for (const auto& [key, value] : line.items()) {
        if (!machine.contains(key) && value.is_number())
          series[key].points.emplace_back(line.at("step").get<double>(), value.get<double>());
      }
    });
    for (auto& [key, line] : series) {
      line.name = row.at("name");
      if (line.points.size() > 1) curves[key].push_back(std::move(line));
    }
  }
  if (curves.empty()) return;
  page.heading("Training curves, first seed");
  std::string html = "<div class=\"charts\">";
  for (const auto& [key, series] : curves) html += line_chart(key, "step", series);
  page.raw(html + "</div>\n");
}

std::string picture_cell(const PictureSet& pictures, size_t at) {
  return "<td><img alt=\"\" src=\"" + data_uri(read_file(pictures.file(at))) + "\"></td>";
}

// The first prompts' pictures of the base and of each method's first reported seed.
void picture_section(Page& page, const CompareConfig& config, const Json& table) {
  std::vector<std::pair<std::string, PictureSet>> columns;
  const auto add = [&](const std::string& name, const fs::path& pictures) {
    if (fs::exists(pictures)) columns.emplace_back(name, read_pictures(pictures));
  };
  add("base", Places{config.output}.base("test") / "pictures");
  for (const auto& row : measured_rows(table)) {
    const std::string name = row.at("name");
    add(name, fs::path(config.output) / name / ("seed-" + row.at("seeds").at(0).dump()) / "pictures");
  }
  const auto count = std::min(static_cast<size_t>(config.test.grid_prompts), columns.empty() ? 0 : columns[0].second.entries.size());
  if (count == 0) return;
  page.heading("The same prompts from the same noise");
  std::string html = "<table class=\"grid\"><tr><th></th>";
  for (const auto& [name, pictures] : columns) html += "<th>" + escape_html(name) + "</th>";
  for (size_t i = 0; i < count; ++i) {
    html += "</tr>\n<tr><td>" + escape_html(columns[0].second.entries[i].prompt) + "</td>";
    for (const auto& [name, pictures] : columns) html += picture_cell(pictures, i);
  }
  page.raw(html + "</tr></table>\n");
  page.paragraph("The first test prompts, not chosen by what came of them; each method's first seed.");
}

}  // namespace

std::string compare_page(const CompareConfig& config, const CompareRunner& runner, const Json& table) {
  Page page("Palate: methods compared");
  page.raw(page_style);
  page.paragraph(equal_text(table));
  page.paragraph(
      concat(table.at("seeds").size(), table.at("seeds").size() == 1 ? " seed, " : " seeds, ", config.test.prompts,
             " test prompts, the same prompts and the same starting noise for every run. Intervals are 95% and count both: seeds and "
             "prompts are resampled as two crossed samples."));
  if (!table.at("caution").get<std::string>().empty()) page.caution(table.at("caution"));
  for (const auto& judge : table.at("judges")) {
    const std::string name = judge.at("name"), by = table.at("judges").size() > 1 ? ", by " + name : "";
    page.heading("Against the base" + by);
    win_section(page, table, name);
    page.heading("Against each other" + by);
    matrix_section(page, table, name);
    progress_section(page, table, name);
    page.heading("Scores by attribute" + by);
    attribute_section(page, table, name);
  }
  page.heading("What was run, and with how much");
  budget_section(page, table);
  failure_section(page, table);
  picture_section(page, config, table);
  curve_section(page, config, table);
  page.heading("Tuning");
  trial_section(page, table);
  page.heading("Configuration");
  CompareConfig shown = config;
  page.folded("comparison", config_to_toml([&](Fields& f) { shown.visit(f); }));
  page.folded(config.train, read_file(config.train));
  page.folded("what the numbers depend on", runner.examiner().settings(PromptSet::test));
  return page.str();
}

}  // namespace palate
