#include "palate/personalize/page.h"

#include <torch/types.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/io/atomic_file.h"
#include "palate/report/html.h"

namespace palate {
namespace {

constexpr size_t shown_prompts = 40;

std::string decimals(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", value);
  return text;
}

std::string with_interval(const Interval& it) { return decimals(it.mean) + " [" + decimals(it.low) + ", " + decimals(it.high) + "]"; }

void add_pictures(Page& page, const std::vector<Column>& columns, int64_t pictures) {
  std::string html = "<table><tr><th>prompt</th>";
  for (const Column& column : columns) html += "<th>" + escape_html(column.name) + "</th>";
  html += "</tr>\n";
  const auto& entries = columns.at(0).pictures.entries;
  const auto step = static_cast<size_t>(pictures);
  for (size_t i = 0; i < std::min(entries.size(), shown_prompts * step); i += step) {
    html += "<tr><td style=\"white-space:normal;max-width:200px\">" + escape_html(columns.back().pictures.entries[i].prompt) + "</td>";
    for (const Column& column : columns)
      html += "<td><img width=\"128\" style=\"image-rendering:pixelated\" alt=\"\" src=\"" + data_uri(read_file(column.pictures.file(i))) +
              "\"></td>";
    html += "</tr>\n";
  }
  page.raw(html + "</table>\n");
}

void add_likeness(Page& page, const PageContent& content) {
  std::vector<std::string> names;
  for (const auto& [name, value] : content.parts.at(0).second.at(0).likeness) names.push_back(name);
  if (names.empty()) return;
  std::vector<std::vector<std::string>> rows;
  std::vector<Series> fronts;
  const std::string sought = std::find(names.begin(), names.end(), "subject") == names.end() ? "style" : "subject";
  for (const auto& [part, columns] : content.parts) {
    fronts.push_back({part, {}});
    for (const Column& column : columns) {
      std::vector<std::string> row = {part.empty() ? column.name : part + ", " + column.name};
      for (const auto& name : names) row.push_back(with_interval(column.likeness.at(name)));
      rows.push_back(std::move(row));
      if (column.name != "base") fronts.back().points.emplace_back(column.likeness.at("prompt").mean, column.likeness.at(sought).mean);
    }
  }
  page.heading("Likeness");
  std::vector<std::string> head = {""};
  for (const auto& name : names) head.push_back(name + " [95%]");
  page.table(head, rows);
  page.raw("<div class=\"charts\">" + line_chart(sought + " over prompt, by weight of reward guidance", "prompt", fronts) + "</div>\n");
}

}  // namespace

std::filesystem::path write_page(const std::filesystem::path& folder, const PageContent& content) {
  Page page(content.title);
  for (const auto& line : content.lines) page.paragraph(line);
  page.caution(content.caution);
  add_likeness(page, content);
  if (!content.distances.empty()) {
    std::vector<Series> series;
    for (const auto& [name, distance] : content.distances) {
      series.push_back({name, {}});
      for (const NoiseDistance& it : distance) series.back().points.emplace_back(it.t, it.value);
    }
    page.heading("Noise distance to the base");
    page.paragraph(
        "Mean square of the difference between the noise that the personalised model predicts and that of its base, by timestep.");
    page.raw("<div class=\"charts\">" + line_chart("noise distance", "timestep", series) + "</div>\n");
  }
  for (const auto& [part, columns] : content.parts) {
    page.heading(part.empty() ? "Pictures" : "Pictures: " + part);
    add_pictures(page, columns, content.pictures);
  }
  std::filesystem::path file = folder / "report.html";
  write_file(file, page.str());
  return file;
}

Json to_json(const std::vector<NoiseDistance>& distance) {
  Json all = Json::array();
  for (const NoiseDistance& it : distance) all.push_back({{"t", it.t}, {"distance", it.value}, {"error", it.error}});
  return all;
}

}  // namespace palate
