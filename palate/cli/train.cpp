#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "palate/cli/command.h"
#include "palate/config/config.h"
#include "palate/config/toml_read.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/io/json.h"
#include "palate/train/foreign_keys.h"
#include "palate/train/train.h"

namespace palate {
namespace {

struct TrainFlags {
  std::string config, preset;
  std::vector<std::string> overrides, foreign;
  bool dry_run = false, json = false;
};

// As it would be typed.
std::string plain(const TomlValue& value) {
  using Kind = TomlValue::Kind;
  if (value.kind == Kind::boolean) return value.boolean ? "true" : "false";
  if (value.kind == Kind::integer) return concat(value.integer);
  if (value.kind == Kind::number) {
    char text[32];
    return {text, std::to_chars(text, text + sizeof text, value.number).ptr};
  }
  if (value.kind != Kind::list) return value.text;
  std::string items;
  for (const auto& item : value.items) items += (items.empty() ? "" : ", ") + plain(item);
  return "[" + items + "]";
}

// Keys of other trainers at the top level of the file.
std::vector<ForeignKey> foreign_keys(ConfigSource& source) {
  std::vector<ForeignKey> found;
  const TomlValue file = parse_toml(source.file_text, source.file_name);
  const std::set<std::string> own = {"model", "output", "resume", "device", "seed", "threads", "full", "variant"};
  for (size_t i = 0; i < file.keys.size(); ++i) {
    const std::string& name = file.keys[i];
    if (file.items[i].kind == TomlValue::Kind::table || own.count(name) || !is_foreign_key(name)) continue;
    found.push_back({name, plain(file.items[i]), file.items[i].where + ": " + name});
    source.taken.push_back(name);
  }
  return found;
}

// One command line says a setting once: which of two should win is anybody's guess.
void refuse_twice(const Translation& translated, const std::vector<std::string>& typed) {
  for (const auto& setting : typed) {
    const size_t equals = setting.find('=');
    if (equals == std::string::npos) continue;  // no setting, which is said when they are read
    const std::string key = setting.substr(0, equals + 1);
    for (size_t i = 0; i < translated.overrides.size(); ++i) {
      check<UsageError>(!translated.wheres[i].starts_with("--") || !translated.overrides[i].starts_with(key), translated.wheres[i],
                        " sets ", translated.overrides[i], ", and ", setting, " is given too: keep one of them");
    }
  }
}

RunConfig read_run(TrainFlags& flags) {
  if (flags.config.find('=') != std::string::npos && !std::filesystem::exists(flags.config)) {  // with flags alone there is no file
    flags.overrides.insert(flags.overrides.begin(), flags.config);
    flags.config.clear();
  }
  check<UsageError>(
      !flags.config.empty() || !flags.foreign.empty() || !flags.preset.empty() || !flags.overrides.empty(),
      "train needs a CONFIG file (configs/ holds complete ones), KEY=VALUE settings, a --preset, or the flags of diffusers' scripts");
  ConfigSource source = read_config_source(flags.config, {});
  std::vector<ForeignKey> keys = foreign_keys(source);
  for (const auto& flag : flags.foreign) {
    const size_t equals = flag.find('=');
    keys.push_back({flag.substr(0, equals), equals == std::string::npos ? "" : flag.substr(equals + 1), "--" + flag.substr(0, equals)});
  }
  const Translation translated = translate_foreign_keys(keys);
  refuse_twice(translated, flags.overrides);
  if (!flags.preset.empty()) source.overrides = preset_overrides(flags.preset);
  for (const std::vector<std::string>* more : {&translated.overrides, static_cast<const std::vector<std::string>*>(&flags.overrides)})
    source.overrides.insert(source.overrides.end(), more->begin(), more->end());
  RunConfig config;
  load_config(source, [&](Fields& f) { config.visit(f); });
  for (const auto& note : translated.notes) log_info(note);
  if (!flags.foreign.empty() && !flags.dry_run) {
    log_info("the flags as settings of our own (--dry-run prints the whole file):");
    for (const auto& setting : translated.overrides) log_info("  ", setting);
  }
  return config;
}

Json to_json(const Forecast& it) {
  return {{"weights_bytes", it.weights_bytes},
          {"activation_bytes", it.activation_bytes},
          {"optimizer_bytes", it.optimizer_bytes},
          {"cache_bytes", it.cache_bytes},
          {"peak_bytes", it.peak_bytes},
          {"memory_bytes", total_memory_bytes()},
          {"seconds_per_step", it.seconds_per_step},
          {"seconds", it.seconds},
          {"fits", it.advice.empty()},
          {"advice", it.advice}};
}

Json to_json(const TrainResult& result) {
  Json json = {{"folder", result.folder.string()},
               {"steps", result.steps},
               {"best_step", result.best_step},
               {"seconds", result.seconds},
               {"interrupted", result.interrupted}};
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

void dry_run(RunConfig& config, const TrainFlags& flags) {
  const std::string resolved = config_to_toml([&](Fields& f) { config.visit(f); });
  check_run(config);
  const Forecast it = forecast(config);
  if (flags.json) {
    std::printf("%s\n", Json{{"config", resolved}, {"forecast", to_json(it)}}.dump().c_str());
    return;
  }
  std::printf("%s", resolved.c_str());
  print_forecast(it);
}

}  // namespace

std::vector<std::string> fold_foreign_flags(const std::vector<std::string>& words) {
  std::vector<std::string> folded;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t equals = words[i].find('=');
    const std::string name = words[i].starts_with("--") ? words[i].substr(2, equals == std::string::npos ? equals : equals - 2) : "";
    if (!is_foreign_key(name)) {
      folded.push_back(words[i]);
      continue;
    }
    std::string setting = words[i].substr(2);
    if (equals == std::string::npos && !foreign_key_is_flag(name)) {
      check<UsageError>(i + 1 < words.size() && !words[i + 1].starts_with("--"), words[i], ": expected a value after it");
      setting += "=" + words[++i];
    }
    folded.insert(folded.end(), {"--foreign", setting});
  }
  return folded;
}

void add_train(CLI::App& app) {
  auto flags = std::make_shared<TrainFlags>();
  app.add_option("CONFIG", flags->config,
                 "the run's TOML file; configs/ holds complete ones. Settings, a preset, or flags of diffusers' scripts "
                 "(--train_batch_size 4 ...) do without");
  app.add_option("--foreign", flags->foreign)->allow_extra_args(false)->group("");  // hidden: fold_foreign_flags
  app.add_option("KEY=VALUE", flags->overrides, "settings over those of the file: train.steps=100 resume=latest");
  app.add_option("--preset", flags->preset, "a method with its paper's constants (palate list presets); over the file, under KEY=VALUE");
  app.add_flag("--dry-run", flags->dry_run, "print the whole configuration with a forecast of memory and time, and stop");
  app.add_flag("--json", flags->json, "one JSON object on stdout");
  app.footer(
      "palate list keys shows every KEY with its meaning and the flags of other trainers that are taken for it.\nExamples:\n  palate train "
      "configs/embedded.toml\n  palate train configs/sd15_dpo_lora.toml model=models/sd15 --dry-run\n"
      "  palate train runs/first/config.resolved.toml resume=latest\n"
      "  palate train --preset diffusion-dpo-lora model=models/sd15 data.pairs=[data/pickapic.parquet] output=runs/a --dry-run\n"
      "  palate train --pretrained_model_name_or_path models/sd15 --train_data_dir pairs --beta_dpo 2500 --rank 8 --max_train_steps 500 "
      "--output_dir runs/b --dry-run");
  app.callback([flags] {
    RunConfig config = read_run(*flags);
    if (flags->dry_run) return dry_run(config, *flags);
    const InterruptGuard guard;  // the first Ctrl-C writes a checkpoint
    const TrainResult result = train(config);
    std::printf("%s\n", flags->json ? to_json(result).dump().c_str() : result.folder.string().c_str());
    std::fflush(stdout);
    if (result.interrupted) fail<Error>("interrupted at step ", result.steps, "; add resume=latest to the same command to go on");
  });
}

}  // namespace palate
