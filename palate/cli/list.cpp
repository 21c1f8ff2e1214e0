// palate list WHAT: the registries, one line a name.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/config/config.h"
#include "palate/diffusion/sampler.h"
#include "palate/judge/judge.h"
#include "palate/models/registry.h"
#include "palate/objective/objective_config.h"
#include "palate/train/run_config.h"

namespace palate {
namespace {

using Lines = std::vector<RegistryLine>;

Lines described(const std::vector<ChoiceLine>& choices) {
  Lines lines;
  for (const auto& choice : choices) lines.push_back({choice.name, choice.summary});
  return lines;
}

Lines bare(const std::vector<std::string>& names) {
  Lines lines;
  for (const auto& name : names) lines.push_back({name, ""});
  return lines;
}

// The keys of a training run: "data.flip=false" and what it does, with other tools' names for it.
Lines keys() {
  RunConfig config;
  const std::string help = config_help([&](Fields& f) { config.visit(f); });
  Lines lines;
  for (size_t begin = 0; begin < help.size();) {
    const size_t end = std::min(help.find('\n', begin), help.size());
    const std::string line = help.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with("  ")) continue;
    const size_t gap = std::min(line.find("  ", 2), line.size()), text = std::min(line.find_first_not_of(' ', gap), line.size());
    lines.push_back({line.substr(2, gap - 2), line.substr(text)});
  }
  return lines;
}

struct Registry {
  const char* name;
  Lines (*lines)();
};
constexpr Registry registries[] = {
    {"losses", [] { return described(losses()); }},
    {"error-spaces", [] { return described(error_spaces()); }},
    {"timesteps", [] { return described(timestep_policies()); }},
    {"references", [] { return described(references()); }},
    {"presets", presets},
    {"judges", judges},
    {"models", [] { return bare(model_names()); }},
    {"keys", keys},
    {"samplers", [] { return bare(sampler_names()); }},
};

void print(const Lines& lines, bool json) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  size_t width = 0;
  for (const auto& line : lines) width = std::max(width, line.name.size());
  for (const auto& line : lines) {
    all.push_back({{"name", line.name}, {"summary", line.summary}});
    if (json) continue;
    if (line.summary.empty()) {
      std::printf("%s\n", line.name.c_str());
    } else {
      std::printf("%-*s  %s\n", static_cast<int>(width), line.name.c_str(), line.summary.c_str());
    }
  }
  if (json) std::printf("%s\n", all.dump().c_str());
}

}  // namespace

void add_list(CLI::App& app) {
  auto what = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  std::vector<std::string> names;
  for (const auto& registry : registries) names.push_back(registry.name);
  app.add_option("what", *what, "what to list")->required()->check(CLI::IsMember(names))->type_name("WHAT");
  app.add_flag("--json", *json, "one JSON array on stdout");
  app.footer("Examples:\n  palate list losses\n  palate list keys   (of palate train: name=default, meaning, other tools' names)");
  app.callback([what, json] {
    for (const auto& registry : registries) {
      if (*what == registry.name) print(registry.lines(), *json);
    }
  });
}

}  // namespace palate
