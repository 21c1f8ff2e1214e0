#include "palate/report/report.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "palate/core/error.h"
#include "palate/eval/evaluation.h"
#include "palate/eval/sheet.h"
#include "palate/io/atomic_file.h"
#include "palate/io/image.h"
#include "palate/io/json.h"
#include "palate/report/html.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

std::string format(const char* pattern, double value) {
  char text[48];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}
std::string percent(const Json& value) { return format("%.1f%%", 100 * value.get<double>()); }
std::string gain_text(const Json& interval) {
  return format("%+.3f", interval.at("mean")) + " [" + format("%+.3f", interval.at("low")) + ", " + format("%+.3f", interval.at("high")) +
         "]";
}

// "dpo against base", and by whom where several judges are.
std::string title_of(const Json& comparison, const Json& evaluation) {
  const std::string sides = comparison.at("ours").get<std::string>() + " against " + comparison.at("base").get<std::string>();
  return evaluation.at("judges").size() > 1 ? sides + ", by " + comparison.at("judge").get<std::string>() : sides;
}

std::string judges_text(const Json& evaluation) {
  std::string text;
  for (const auto& judge : evaluation.at("judges")) {
    const Json& margin = judge.at("tie_margin");
    text +=
        " Judge: " + judge.at("identity").get<std::string>() + "; " +
        (margin.is_null() ? "equal scores count as ties." : "scores within " + format("%.2g", margin) + " of each other count as ties.");
  }
  return text;
}

void headline(Page& page, const Json& evaluation) {
  page.raw("<div class=\"numbers\">");
  for (const auto& comparison : evaluation.at("comparisons")) {
    const auto& rate = comparison.at("win_rate");
    page.big_number(percent(rate.at("rate")), "win rate of " + title_of(comparison, evaluation) + ", 95% interval " +
                                                  percent(rate.at("low")) + " to " + percent(rate.at("high")) + ", " +
                                                  std::to_string(rate.at("n").get<int64_t>()) + " prompts");
  }
  page.raw("</div>\n");
  if (!evaluation.value("caution", "").empty()) page.caution(evaluation.at("caution"));
}

void win_table(Page& page, const Json& evaluation) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& comparison : evaluation.at("comparisons")) {
    const auto& rate = comparison.at("win_rate");
    rows.push_back({title_of(comparison, evaluation), percent(rate.at("win")), percent(rate.at("tie")), percent(rate.at("lose")),
                    percent(rate.at("rate")) + " [" + percent(rate.at("low")) + ", " + percent(rate.at("high")) + "]",
                    gain_text(comparison.at("gain"))});
  }
  page.table({"", "wins", "ties", "losses", "win rate (wins + half of ties)", "mean gain"}, rows);
  const bool known_noise = evaluation.at("requests").at(0).contains("id");
  page.paragraph(std::string("Same prompt") + (known_noise ? ", same starting noise" : "") +
                 " on both sides. Intervals are 95% and resample prompts." + judges_text(evaluation));
}

void score_table(Page& page, const Json& evaluation, const std::string& judge) {
  std::vector<std::string> head = {"mean score"};
  std::vector<Json> comparisons;
  const auto& sides = evaluation.at("sides");
  for (const auto& side : sides) head.push_back(side.at("name"));
  for (const auto& comparison : evaluation.at("comparisons")) {
    if (comparison.at("judge") != judge) continue;
    head.push_back("change, " + comparison.at("ours").get<std::string>());
    comparisons.push_back(comparison);
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& [name, first] : sides.at(0).at("means").at(judge).items()) {
    std::vector<std::string> row = {name};
    for (const auto& side : sides) {
      const auto& value = side.at("means").at(judge).at(name);
      row.push_back(value.is_number() ? format("%.3f", value) : "-");
    }
    for (const auto& comparison : comparisons) {
      const auto& parts = comparison.at("part_gain");
      row.push_back(name == "total" ? gain_text(comparison.at("gain")) : parts.contains(name) ? gain_text(parts.at(name)) : "-");
    }
    rows.push_back(row);
  }
  page.table(head, rows);
}

std::string figure(const Tensor& image, const std::string& name, bool won, double score) {
  return std::string("<figure") + (won ? " class=\"won\"" : "") + "><img alt=\"\" src=\"" + data_uri(encode_png(image)) +
         "\"><figcaption>" + escape_html(name) + " " + format("%.2f", score) + "</figcaption></figure>";
}

// JSON has no NaN: a picture without a score is null.
std::vector<double> scores_of(const Json& side, const std::string& judge) {
  std::vector<double> scores;
  for (const auto& value : side.at("scores").at(judge)) scores.push_back(value.is_null() ? std::nan("") : value.get<double>());
  return scores;
}

// Pairs base | ours with the winner marked by the first judge, spread evenly from the largest gain to the largest loss.
void sheet(Page& page, const fs::path& folder, const Json& evaluation, size_t side) {
  const Json &base = evaluation.at("sides").at(0), &ours = evaluation.at("sides").at(side), &judge = evaluation.at("judges").at(0);
  const std::string by = judge.at("name");
  const auto picture = [&](const Json& of, size_t k) {
    return read_image(folder / of.at("folder").get<std::string>() / of.at("images").at(k).get<std::string>());
  };
  const std::vector<double> a = scores_of(base, by), b = scores_of(ours, by);
  std::vector<double> gains(a.size());
  for (size_t i = 0; i < a.size(); ++i) gains[i] = b[i] - a[i];
  const double margin = judge.at("tie_margin").is_null() ? 0 : judge.at("tie_margin").get<double>();
  std::string html = "<div class=\"sheet\">\n";
  for (const int64_t i : spread(gains, shown_pairs)) {
    const size_t k = static_cast<size_t>(i);
    html += "<div class=\"pair\"><div>" + figure(picture(base, k), base.at("name"), gains[k] < -margin, a[k]) +
            figure(picture(ours, k), ours.at("name"), gains[k] > margin, b[k]) + "</div><p>" +
            escape_html(evaluation.at("requests").at(k).at("prompt").get<std::string>()) + "</p></div>\n";
  }
  page.raw(html + "</div>\n");
}

void evaluation_section(Page& page, const fs::path& folder) {
  const Json evaluation = read_json(folder / "eval.json");
  check<FormatError>(evaluation.is_object() && evaluation.contains("judges"), (folder / "eval.json").string(),
                     ": expected \"judges\", found none: an earlier version of palate wrote it, so run palate eval again");
  headline(page, evaluation);
  const size_t sides = evaluation.at("sides").size();
  for (size_t i = 1; i < sides; ++i) {
    const std::string name = evaluation.at("sides").at(i).at("name");
    page.heading(evaluation.at("sides").at(0).at("name").get<std::string>() + " | " + name);
    if (i == 1)
      page.paragraph(
          "The winner is marked. The pairs are spread evenly from the largest gain to the largest loss, so what you see is the true "
          "share.");
    sheet(page, folder, evaluation, i);
  }
  page.heading("Win rates");
  win_table(page, evaluation);
  for (const auto& judge : evaluation.at("judges")) {
    const std::string name = judge.at("name");
    page.heading(evaluation.at("judges").size() > 1 ? "Scores by attribute, " + name : "Scores by attribute");
    score_table(page, evaluation, name);
  }
  page.folded("Hashes of what was compared", evaluation.at("hashes").dump(2));
  if (!evaluation.at("sampling").is_null()) page.folded("Sampling", evaluation.at("sampling").dump(2));
}

// metrics.jsonl -> one chart a metric, all runs in it.
using Curves = std::map<std::string, std::vector<Series>>;
void read_curves(const fs::path& run, const std::string& name, Curves& curves) {
  std::map<std::string, Series> series;
  read_jsonl(run / "metrics.jsonl", [&](const Json& line, int64_t) {
    if (!line.contains("step")) return;
    for (const auto& [key, value] : line.items()) {
      if (key != "step" && value.is_number()) series[key].points.emplace_back(line.at("step").get<double>(), value.get<double>());
    }
  });
  for (auto& [key, line] : series) {
    line.name = name;
    if (line.points.size() > 1) curves[key].push_back(std::move(line));
  }
}

std::vector<fs::path> runs_below(const fs::path& folder) {
  std::vector<fs::path> runs;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory() && fs::exists(entry.path() / "metrics.jsonl")) runs.push_back(entry.path());
  }
  std::sort(runs.begin(), runs.end());
  if (fs::exists(folder / "metrics.jsonl")) runs.insert(runs.begin(), folder);
  return runs;
}

void curves_section(Page& page, const std::vector<fs::path>& runs) {
  Curves curves;
  for (const auto& run : runs) read_curves(run, run.filename().string(), curves);
  if (curves.empty()) return;
  page.heading("Training curves");
  std::string html = "<div class=\"charts\">";
  for (const auto& [key, series] : curves) html += line_chart(key, "step", series);
  page.raw(html + "</div>\n");
}

}  // namespace

fs::path write_report(const fs::path& folder, const std::string& title) {
  check<UsageError>(fs::is_directory(folder), folder.string(), ": expected a run folder, found none");
  const auto runs = runs_below(folder);
  const bool evaluated = fs::exists(folder / "eval.json");
  check<UsageError>(evaluated || !runs.empty(), folder.string(),
                    ": expected eval.json or metrics.jsonl in it or in a folder below it, found neither");
  Page page(title.empty() ? "Palate: " + fs::canonical(folder).filename().string() : title);
  if (evaluated) evaluation_section(page, folder);
  curves_section(page, runs);
  page.heading("Configuration");
  for (const auto& run : runs) {
    if (fs::exists(run / "config.resolved.toml"))
      page.folded(run.filename().string() + "/config.resolved.toml", read_file(run / "config.resolved.toml"));
  }
  for (const char* extra : {"pairs.json", "summary.json"}) {
    if (fs::exists(folder / extra)) page.folded(extra, read_file(folder / extra));
  }
  write_file(folder / "report.html", page.str());
  return folder / "report.html";
}

}  // namespace palate
