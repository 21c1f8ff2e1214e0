// The table for a terminal, for a spreadsheet and for a paper.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/compare/table.h"
#include "palate/core/error.h"
#include "palate/core/progress.h"

namespace palate {
namespace {

using Cells = std::vector<std::string>;

std::string printed(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

// The columns that all three have.
const Cells heads = {"method", "win rate %", "reward", "gain", "drift", "rate", "beta", "steps", "seconds", "memory MB", "seeds"};

Cells cells_of(const Json& row, const std::string& judge) {
  if (!row.contains("judges")) {
    Cells cells(heads.size(), "");
    cells[0] = row.at("name");
    cells[1] = row.at("status");
    return cells;
  }
  const Json &by = row.at("judges").at(judge), &cost = row.at("cost"), &gain = by.at("gain");
  return {row.at("name"),
          percent_interval(by.at("win_rate")),
          number_text(by.at("reward"), "%.3f"),
          number_text(gain.at("mean"), "%+.3f") + " [" + number_text(gain.at("low"), "%+.3f") + ", " +
              number_text(gain.at("high"), "%+.3f") + "]",
          row.at("drift").is_null() ? "-" : number_text(row.at("drift").at("mean"), "%.4g"),
          number_text(row.at("rate"), "%.2g"),
          number_text(row.at("beta"), "%.3g"),
          number_text(row.at("steps"), "%.0f"),
          number_text(cost.at("seconds"), "%.1f"),
          printed("%.0f", cost.at("peak_bytes").get<double>() / 1e6),
          row.at("status") == "whole" ? std::to_string(row.at("seeds").size()) : row.at("status").get<std::string>()};
}

Cells base_cells(const Json& table, const std::string& judge) {
  Cells cells(heads.size(), "");
  cells[0] = "base";
  cells[1] = "50";
  cells[2] = number_text(table.at("base_scores").at(judge).at("reward"), "%.3f");
  cells[4] = "0";
  return cells;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

std::string csv_line(const Cells& cells) {
  std::string line;
  for (const auto& cell : cells) line += (line.empty() ? "" : ",") + csv_field(cell);
  return line + "\n";
}

std::string exact_text(const Json& value) { return value.is_null() ? "" : value.is_string() ? value.get<std::string>() : value.dump(); }

std::string latex_text(const std::string& text) {
  std::string out;
  for (const char c : text) out += std::string("%_&#$").find(c) != std::string::npos ? std::string("\\") + c : std::string(1, c);
  return out;
}

}  // namespace

std::string number_text(const Json& value, const char* pattern) { return value.is_number() ? printed(pattern, value.get<double>()) : "-"; }

std::string percent_interval(const Json& interval) {
  if (interval.is_null()) return "-";
  return printed("%.1f", 100 * interval.at("mean").get<double>()) + " [" + printed("%.1f", 100 * interval.at("low").get<double>()) + ", " +
         printed("%.1f", 100 * interval.at("high").get<double>()) + "]";
}

std::string equal_text(const Json& table) {
  const std::string equal = table.at("compute").at("equal");
  const std::string amount = number_text(table.at("compute").at("amount"), "%.10g");
  const std::string what = equal == "steps"   ? " optimizer steps"
                           : equal == "pairs" ? " preference pairs seen"
                           : equal == "passes"
                               ? " passes of a picture through the network (a backward pass counts as two, a reference as one)"
                               : " seconds of processor time in steps, by the seconds that a step was measured to take";
  return "Equal compute: each run has " + amount + what + ". Before it, each tuned method has " + table.at("tune").at("trials").dump() +
         " trials of the same length to find its rate and beta on " + table.at("tune").at("prompts").dump() + " development prompts.";
}

std::string show_table(const Json& table) {
  std::string text;
  for (const auto& judge : table.at("judges")) {
    const std::string name = judge.at("name");
    std::vector<Cells> rows = {heads, base_cells(table, name)};
    for (const auto& row : table.at("methods")) rows.push_back(cells_of(row, name));
    std::vector<size_t> widths(heads.size(), 0);
    for (const auto& row : rows) {
      for (size_t c = 0; c < row.size(); ++c) {
        if (c != 1 || !row[2].empty() || row[0] == "method") widths[c] = std::max(widths[c], row[c].size());
      }
    }
    text += table.at("judges").size() > 1 ? "by " + name + "\n" : "";
    for (const auto& row : rows) {
      std::string line;
      for (size_t c = 0; c < row.size(); ++c)
        line += row[c] + std::string(widths[c] > row[c].size() ? widths[c] - row[c].size() + 2 : 2, ' ');
      text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
  }
  return text;
}

std::string table_to_csv(const Json& table) {
  Cells head = {"judge", "method", "status", "seeds",    "win_rate",       "win_rate_low", "win_rate_high",     "win",       "tie",
                "lose",  "reward", "gain",   "gain_low", "gain_high",      "drift",        "drift_deviation",   "rate",      "beta",
                "steps", "pairs",  "passes", "trials",   "tuning_seconds", "seconds",      "processor_seconds", "peak_bytes"};
  std::string text;
  for (const auto& judge : table.at("judges")) {
    const std::string name = judge.at("name");
    const Json& parts = table.at("base_scores").at(name).value("parts", Json::object());
    Cells named = head;
    for (const auto& [part, unused] : parts.items()) named.push_back(part);
    text += csv_line(named);
    for (const auto& row : table.at("methods")) {
      Cells cells = {name, row.at("name"), row.at("status"), std::to_string(row.at("seeds").size())};
      if (row.contains("judges")) {
        const Json &by = row.at("judges").at(name), &win = by.at("win_rate"), &gain = by.at("gain"), &drift = row.at("drift"),
                   &cost = row.at("cost");
        for (const char* key : {"mean", "low", "high", "win", "tie", "lose"}) cells.push_back(exact_text(win.at(key)));
        cells.push_back(exact_text(by.at("reward")));
        for (const char* key : {"mean", "low", "high"}) cells.push_back(exact_text(gain.at(key)));
        for (const char* key : {"mean", "deviation"}) cells.push_back(drift.is_null() ? "" : exact_text(drift.at(key)));
        for (const char* key : {"rate", "beta", "steps", "pairs", "passes"}) cells.push_back(exact_text(row.at(key)));
        cells.push_back(std::to_string(row.at("trials").size()));
        for (const char* key : {"tuning_seconds", "seconds", "processor_seconds", "peak_bytes"}) cells.push_back(exact_text(cost.at(key)));
        for (const auto& [part, unused] : parts.items()) cells.push_back(exact_text(by.at("parts").at(part)));
      }
      cells.resize(named.size());
      text += csv_line(cells);
    }
  }
  return text;
}

std::string table_to_latex(const Json& table) {
  const std::string judge = table.at("judges").at(0).at("name");
  const auto line = [](const Cells& cells) {
    std::string text;
    for (const auto& cell : cells) text += (text.empty() ? "" : " & ") + latex_text(cell);
    return text + " \\\\\n";
  };
  std::string text = "% " + equal_text(table) + "\n% Win rates against the base by " + judge + ", 95% intervals over " +
                     std::to_string(table.at("seeds").size()) + " seeds and " + table.at("test").at("prompts").dump() +
                     " prompts.\n\\begin{tabular}{l" + std::string(heads.size() - 1, 'r') + "}\n\\toprule\n" + line(heads) + "\\midrule\n" +
                     line(base_cells(table, judge));
  for (const auto& row : table.at("methods")) {
    if (row.contains("judges"))
      text += line(cells_of(row, judge));
    else
      text += latex_text(row.at("name")) + " & \\multicolumn{" + std::to_string(heads.size() - 1) + "}{l}{" + latex_text(row.at("status")) +
              "} \\\\\n";
  }
  return text + "\\bottomrule\n\\end{tabular}\n";
}

}  // namespace palate
