#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/config/config.h"
#include "palate/core/device.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/io/json.h"
#include "palate/pretrain/pretrain.h"

namespace palate {
namespace {

struct PretrainFlags {
  std::string config;
  std::vector<std::string> overrides;
  bool resume = false, json = false;
};

void run(const PretrainFlags& flags) {
  world::PretrainConfig config;
  load_config(read_config_source(flags.config, flags.overrides), [&](Fields& f) { config.visit(f); });
  set_threads(config.threads);
  const InterruptGuard guard;
  const auto result = world::pretrain(config, flags.resume ? RunStart::resume : RunStart::fresh);
  check<Error>(!result.interrupted, "interrupted; go on with: palate pretrain ", config.output, "/config.resolved.toml --resume");
  if (flags.json) {
    Json out = {{"base", result.base.string()}, {"evaluation", Json::object()}};
    for (const auto& [name, value] : result.evaluation) out["evaluation"][name] = value;
    std::printf("%s\n", out.dump().c_str());
  } else {
    std::printf("%s\n", result.base.c_str());
  }
}

}  // namespace

void add_pretrain(CLI::App& app) {
  auto flags = std::make_shared<PretrainFlags>();
  app.add_option("config", flags->config, "TOML file; configs/pretrain_base.toml made the shipped model")->required();
  app.add_option("overrides", flags->overrides, "key=value over the file, as fit.steps=100");
  app.add_flag("--resume", flags->resume, "go on from the last checkpoint of the output folder");
  app.add_flag("--json", flags->json, "one JSON object on stdout");
  app.footer(
      "Trains an autoencoder, then a U-Net and a text encoder, on pictures of the embedded world that are rendered on the fly.\n"
      "Every checkpoint holds a whole model folder; the oracle's scores go to metrics.jsonl.\n"
      "Example:\n  palate pretrain configs/pretrain_base.toml output=runs/base fit.minutes=10");
  app.callback([flags] { run(*flags); });
}

}  // namespace palate
