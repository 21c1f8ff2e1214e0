// The whole job on the embedded world. Every step goes through the files and functions that a person's own data goes through.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/config/config.h"
#include "palate/core/clock.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/hash.h"
#include "palate/core/interrupt.h"
#include "palate/core/log.h"
#include "palate/core/progress.h"
#include "palate/eval/evaluation.h"
#include "palate/io/json.h"
#include "palate/pipeline/pipeline_loras.h"
#include "palate/pretrain/pairs.h"
#include "palate/report/report.h"
#include "palate/train/train.h"
#include "palate/world/prompts.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

struct DemoFlags {
  std::string base = asset("base"), config = asset("demo.toml"), out;
  std::vector<std::string> overrides;
  int64_t prompts = 400, pairs = 600, seed = 0, threads = 0;
  bool json = false;
};

// runs/demo-1, or the first number that is free.
fs::path free_folder() {
  for (int n = 1;; ++n) {
    const fs::path folder = "runs/demo-" + std::to_string(n);
    if (!fs::exists(folder)) return folder;
  }
}

class Laps {
 public:
  // Seconds since the last call.
  double lap() {
    const double seconds = seconds_since(last_);
    last_ = Clock::now();
    return seconds;
  }

 private:
  Clock::time_point last_ = Clock::now();
};

RunConfig run_config(const DemoFlags& flags, const fs::path& folder, const std::string& name, const std::vector<std::string>& method) {
  RunConfig config;
  const auto quoted = [](const fs::path& path) { return "\"" + path.string() + "\""; };
  std::vector<std::string> overrides = {"model=" + quoted(flags.base),
                                        "output=" + quoted(folder / name),
                                        "data.pairs=[" + quoted(folder / "pairs.parquet") + "]",
                                        "data.cache=" + quoted(folder / "cache"),
                                        concat("seed=", flags.seed),
                                        concat("threads=", flags.threads)};
  overrides.insert(overrides.end(), method.begin(), method.end());
  for (const auto& given : flags.overrides) {
    if (name == "dpo" || !given.starts_with("objective.")) overrides.push_back(given);  // SFT has no constants
  }
  load_config(read_config_source(flags.config, overrides), [&](Fields& f) { config.visit(f); });
  return config;
}

// A DPO step runs policy and reference on winner and loser and goes backward through both (2 + 2 + 4 forward passes' worth);
// a step of SFT runs and goes backward through the winner alone (1 + 2). Equal compute is 8/3 as many steps.
int64_t equal_compute_steps(int64_t dpo_steps) { return dpo_steps * 8 / 3; }

TrainResult train_until_signal(const RunConfig& config) {
  const InterruptGuard guard;
  return train(config);
}

void require_whole(const TrainResult& result) {
  check(!result.interrupted, "the demo was stopped; what was made stays in ", result.folder.parent_path().string());
}

Evaluation evaluate(const DemoFlags& flags, const fs::path& folder, const std::vector<std::string>& runs, const GenerateOptions& sampling) {
  Evaluation evaluation;
  evaluation.judges = make_judges({"oracle"});
  evaluation.caution =
      "The judge is the embedded world's oracle, which also made the labels, so this shows that the training works, not that people agree. "
      "The prompts are held out: neither the base nor the pairs nor any choice of ours has seen them.";
  evaluation.seed = static_cast<uint64_t>(flags.seed);
  GenerateOptions options = sampling;
  options.seed = mix(stable_hash("demo evaluation"), evaluation.seed);
  evaluation.sampling = options;
  const auto requests = paired_requests(world::held_out_prompts(flags.prompts, options.seed));
  Pipeline pipeline(flags.base);
  evaluation.hashes["base " + pipeline.denoiser_component()] = pipeline.weights_hash(pipeline.denoiser_component());
  evaluation.hashes["pairs.parquet"] = sha256_file(folder / "pairs.parquet");
  options.title = "sampling base";
  evaluation.sides.push_back(draw_side("base", pipeline, requests, options, evaluation.judges, folder / "pictures" / "base"));
  for (const auto& run : runs) {
    const fs::path file = folder / run / "pytorch_lora_weights.safetensors";
    std::vector<Lora> loras = hang_loras(pipeline, {LoraChoice{file}});
    options.title = "sampling " + run;
    evaluation.sides.push_back(draw_side(run, pipeline, requests, options, evaluation.judges, folder / "pictures" / run));
    evaluation.hashes[run + " lora"] = sha256_file(file);
    for (Lora& lora : loras) lora.remove();
  }
  return evaluation;
}

void finish(const DemoFlags& flags, const fs::path& folder, const Evaluation& evaluation, const Json& seconds) {
  const Json result = evaluation.save(folder);
  write_json(folder / "summary.json", {{"seed", flags.seed}, {"seconds", seconds}, {"comparisons", result.at("comparisons")}});
  const fs::path page = write_report(folder, "Palate demo: a base model and what preferences made of it");
  if (flags.json) {
    std::printf("%s\n", Json{{"comparisons", result.at("comparisons")}, {"seconds", seconds}, {"report", page.string()}}.dump().c_str());
  } else {
    std::printf("\n%s\nLook at the pictures: %s\n", show_comparisons(result).c_str(), fs::absolute(page).c_str());
  }
}

void run(const DemoFlags& flags) {
  set_threads(flags.threads);
  const fs::path folder = flags.out.empty() ? free_folder() : fs::path(flags.out);
  check<UsageError>(!fs::exists(folder), folder.string(), ": the output folder is already there: name another with --out");
  const RunConfig dpo = run_config(flags, folder, "dpo",
                                   {"objective.loss=dpo", "objective.beta=100",
                                    "objective.reference=adapters_off"});  // a mistake in the config shows before anything is made
  fs::create_directories(folder);
  Laps clock;
  Json seconds;

  log_info("1/4 sampling pictures from the base, and asking a simulated person which of them is better");
  {
    Pipeline base(flags.base);
    world::PairOptions options;
    options.prompts = flags.pairs;
    options.guidance_scale = dpo.sample.guidance_scale;
    options.steps = dpo.sample.steps;
    options.seed = static_cast<uint64_t>(flags.seed);
    write_json(folder / "pairs.json", world::make_pairs(base, options, folder / "pairs.parquet"));
  }
  seconds["pairs"] = clock.lap();

  log_info("2/4 DPO on these pairs (", dpo.train.steps, " steps)");
  require_whole(train_until_signal(dpo));
  seconds["dpo"] = clock.lap();

  const RunConfig sft =
      run_config(flags, folder, "sft",
                 {"objective.loss=sft", "objective.reference=none", "train.steps=" + std::to_string(equal_compute_steps(dpo.train.steps))});
  log_info("3/4 for comparison: supervised fine-tuning on the winners at equal compute (", sft.train.steps, " steps)");
  require_whole(train_until_signal(sft));
  seconds["sft"] = clock.lap();

  log_info("4/4 ", flags.prompts, " held-out prompts, the same noise for every model");
  GenerateOptions sampling;
  sampling.steps = dpo.sample.steps;
  sampling.guidance_scale = dpo.sample.guidance_scale;
  sampling.sampler = dpo.sample.sampler;
  sampling.batch = 100;
  const Evaluation evaluation = evaluate(flags, folder, {"dpo", "sft"}, sampling);
  seconds["evaluation"] = clock.lap();
  finish(flags, folder, evaluation, seconds);
}

}  // namespace

void add_demo(CLI::App& app) {
  auto flags = std::make_shared<DemoFlags>();
  app.add_option("--out", flags->out, "folder to write; must not exist (default: runs/demo-N)");
  app.add_option("--seed", flags->seed, "another seed gives other pairs, another training and other prompts")
      ->check(a_seed())
      ->capture_default_str();
  app.add_option("--prompts", flags->prompts, "held-out prompts of the comparison")->check(whole(1, 100000))->capture_default_str();
  app.add_option("--pairs", flags->pairs, "training prompts; the best and the worst of four pictures of each make a pair")
      ->check(whole(1, 1000000))
      ->capture_default_str();
  app.add_option("--base", flags->base, "base model folder (default: the shipped one)");
  app.add_option("--config", flags->config, "training config (default: the shipped one)");
  app.add_option("--set", flags->overrides, "key=value over the training config, repeatable");
  app.add_option("--threads", flags->threads, "0: as many as there are cores")->check(a_thread_count())->capture_default_str();
  app.add_flag("--json", flags->json, "one JSON object on stdout");
  app.footer(
      "Samples pairs from the shipped base, lets a simulated person choose, trains a LoRA with DPO (and, for comparison, with SFT),\n"
      "and compares the models blindly on prompts that nothing has seen. Ends with report.html: pictures, win rates, curves.\n"
      "Example:\n  palate demo --seed 1");
  app.callback([flags] { run(*flags); });
}

}  // namespace palate
