#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/config/config.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/io/json.h"
#include "palate/train/train.h"

namespace palate {
namespace {

struct Flags {
  std::string config, preset;
  std::vector<std::string> overrides;
  bool dry_run = false, json = false;
};

RunConfig read_run(const Flags& flags) {
  std::vector<std::string> overrides = flags.preset.empty() ? std::vector<std::string>() : preset_overrides(flags.preset);
  overrides.insert(overrides.end(), flags.overrides.begin(), flags.overrides.end());
  RunConfig config;
  load_config(read_config_source(flags.config, overrides), [&](Fields& f) { config.visit(f); });
  return config;
}

Json to_json(const Forecast& it) {
  return {{"weights_bytes", it.weights_bytes},       {"activation_bytes", it.activation_bytes}, {"optimizer_bytes", it.optimizer_bytes}, {"cache_bytes", it.cache_bytes},
          {"peak_bytes", it.peak_bytes},             {"memory_bytes", total_memory_bytes()},    {"seconds_per_step", it.seconds_per_step}, {"seconds", it.seconds},
          {"fits", it.advice.empty()},               {"advice", it.advice}};
}

Json to_json(const TrainResult& result) {
  Json json = {{"folder", result.folder.string()}, {"steps", result.steps}, {"best_step", result.best_step}, {"seconds", result.seconds}, {"interrupted", result.interrupted}};
  json["metrics"] = Json::object();
  for (const auto& [name, value] : result.metrics) json["metrics"][name] = value;
  return json;
}

void print_forecast(const Forecast& it) {
  const auto line = [](const char* what, int64_t bytes) { std::printf("# %-12s %8.2f GB\n", what, static_cast<double>(bytes) / 1e9); };
  std::printf("\n# forecast (an estimate from shapes and this machine's matrix rate)\n");
  line("weights", it.weights_bytes);
  line("activations", it.activation_bytes);
  line("optimizer", it.optimizer_bytes);
  line("peak memory", it.peak_bytes);
  line("of", total_memory_bytes());
  line("disk cache", it.cache_bytes);
  std::printf("# %-12s %8.2f s\n# %-12s %s\n", "a step", it.seconds_per_step, "all steps", show_duration(it.seconds).c_str());
  if (!it.advice.empty()) std::printf("# %s\n", it.advice.c_str());
}

void dry_run(RunConfig& config, const Flags& flags) {
  const std::string resolved = config_to_toml([&](Fields& f) { config.visit(f); });
  const Forecast it = forecast(config);
  if (flags.json) {
    std::printf("%s\n", Json{{"config", resolved}, {"forecast", to_json(it)}}.dump().c_str());
    return;
  }
  std::printf("%s", resolved.c_str());
  print_forecast(it);
}

}  // namespace

void add_train(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("CONFIG", flags->config, "the run's TOML file; configs/ holds complete ones")->required();
  app.add_option("KEY=VALUE", flags->overrides, "settings over those of the file: train.steps=100 resume=latest");
  app.add_option("--preset", flags->preset, "a method with its paper's constants (palate list presets); over the file, under KEY=VALUE");
  app.add_flag("--dry-run", flags->dry_run, "print the whole configuration with a forecast of memory and time, and stop");
  app.add_flag("--json", flags->json, "one JSON object on stdout");
  app.footer("Examples:\n  palate train configs/embedded.toml\n  palate train configs/sd15_dpo_lora.toml model=models/sd15 --dry-run\n"
             "  palate train runs/first/config.resolved.toml resume=latest");
  app.callback([flags] {
    RunConfig config = read_run(*flags);
    if (flags->dry_run) return dry_run(config, *flags);
    const TrainResult result = train(config);
    std::printf("%s\n", flags->json ? to_json(result).dump().c_str() : result.folder.string().c_str());
    std::fflush(stdout);
    if (result.interrupted) fail<Error>("interrupted at step ", result.steps, "; add resume=latest to the same command to go on");
  });
}

}  // namespace palate
