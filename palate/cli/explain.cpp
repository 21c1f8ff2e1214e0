// palate explain NAME: what a preset, or a loss, minimises: formula, constants, sources, pitfalls.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "palate/cli/command.h"
#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/objective/objective_config.h"
#include "palate/objective/presets.h"

namespace palate {
namespace {

constexpr size_t page_width = 100;

// Two columns in, broken between words.
std::string indented(const std::string& text) {
  std::string out;
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    const size_t room = page_width - 2;
    if (end - begin > room) {
      const size_t space = text.rfind(' ', begin + room);
      if (space != std::string::npos && space > begin) end = space;
    }
    out += "  " + text.substr(begin, end - begin) + "\n";
    begin = end + 1;
  }
  return out;
}

std::string settings(const std::vector<std::string>& overrides) {
  std::vector<std::pair<std::string, std::string>> kept;  // a later one holds
  for (const auto& text : overrides) {
    const size_t equals = text.find('=');
    const std::string key = text.substr(0, equals);
    const auto same = std::find_if(kept.begin(), kept.end(), [&](const auto& one) { return one.first == key; });
    if (same == kept.end()) {
      kept.emplace_back(key, text.substr(equals + 1));
    } else {
      same->second = text.substr(equals + 1);
    }
  }
  std::string out;
  for (const auto& [key, value] : kept) out.append("  ").append(key).append(" = ").append(value).append("\n");
  return out;
}

std::string preset_page(const Preset& preset) {
  return preset.name + ": " + preset.summary + "\n\nformula\n" + indented(preset.formula) + "\nconstants\n" + settings(preset.overrides) +
         "\nsources\n" + indented(preset.sources) + "\npitfalls\n" + indented(preset.pitfalls) + "\n  palate train --preset " +
         preset.name + " model=... data.pairs=[...] output=...\n";
}

// The presets of a loss say more about it than its line.
std::string loss_page(const ChoiceLine& loss) {
  Constants constants = loss.defaults();
  std::string page = loss.name + ": " + loss.summary + "\n";
  const std::string help = config_help([&](Fields& f) { constants.visit(f); });
  if (!help.empty()) page += "\nconstants\n" + help;
  std::string of_it;
  for (const auto& preset : all_presets()) {
    const auto& all = preset.overrides;
    if (std::find(all.begin(), all.end(), "objective.loss=" + loss.name) != all.end()) of_it += "  palate explain " + preset.name + "\n";
  }
  return of_it.empty() ? page : page + "\npresets\n" + of_it;
}

std::string page_of(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& preset : all_presets()) {
    if (preset.name == name) return preset_page(preset);
    known.push_back(preset.name);
  }
  for (const auto& loss : losses()) {
    if (loss.name == name) return loss_page(loss);
    if (std::find(known.begin(), known.end(), loss.name) == known.end()) known.push_back(loss.name);
  }
  fail<UsageError>("explain: there is no preset or loss '", name, "'", did_you_mean(name, known), "; it is one of ", one_of(known));
}

}  // namespace

void add_explain(CLI::App& app) {
  auto name = std::make_shared<std::string>();
  app.add_option("name", *name, "a preset (palate list presets), or a loss (palate list losses)")->required()->type_name("NAME");
  app.footer("Examples:\n  palate explain mapo\n  palate explain diffusion-dpo-sd15");
  app.callback([name] { std::fputs(page_of(*name).c_str(), stdout); });
}

}  // namespace palate
