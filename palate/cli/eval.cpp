#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/cli/lora_flags.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/eval/evaluation.h"
#include "palate/report/report.h"
#include "palate/world/oracle_judge.h"
#include "palate/world/prompts.h"

namespace palate {
namespace {

struct Flags {
  std::string model, base, lora, prompts, out, split = "test", device = "cpu", dtype = "float32";
  int64_t count = 400, repeats = 1, seed = 0, threads = 0;
  GenerateOptions sampling;
  bool json = false;
};

std::vector<std::string> read_prompts(const Flags& flags) {
  if (flags.prompts.empty()) {
    const auto split = flags.split == "test" ? world::Split::test : world::Split::development;
    return world::prompts(split, world::Kind::mixed, flags.count, static_cast<uint64_t>(flags.seed));
  }
  return read_prompt_file(flags.prompts);
}

Side side(const std::string& name, const std::string& model, const std::string& lora, const std::vector<GenerateRequest>& requests,
          const Flags& flags, Judge& judge, std::map<std::string, std::string>& hashes) {
  Pipeline pipeline(model, {.dtype = parse_dtype(flags.dtype), .device = parse_device(flags.device), .variant = ""});
  const std::vector<Lora> loras = hang_loras(pipeline, lora.empty() ? std::vector<std::string>{} : std::vector{lora});
  hashes[name + " unet"] = pipeline.weights_hash("unet");
  if (!lora.empty()) hashes[name + " lora"] = sha256_file(parse_lora_flag(lora).file);
  GenerateOptions sampling = flags.sampling;
  sampling.title = "sampling " + name;
  return make_side(name, pipeline, requests, sampling, judge);
}

void run(Flags flags) {
  set_threads(flags.threads);
  check<UsageError>(!std::filesystem::exists(flags.out), flags.out, ": the output folder is already there: name another");
  if (flags.base.empty()) flags.base = flags.model;
  check<UsageError>(flags.base != flags.model || !flags.lora.empty(),
                    "there is nothing to compare: give --lora, or another model with --base");
  if (!flags.lora.empty()) parse_lora_flag(flags.lora);  // a path that is wrong is said before the base's pictures are made
  flags.sampling.seed = static_cast<uint64_t>(flags.seed);
  world::OracleJudge judge;
  Evaluation evaluation;
  evaluation.judge = judge.name();
  evaluation.tie_margin = judge.tie_margin();
  evaluation.seed = flags.sampling.seed;
  evaluation.sampling = flags.sampling;
  evaluation.requests = paired_requests(read_prompts(flags), flags.repeats);
  evaluation.sides.push_back(side("base", flags.base, "", evaluation.requests, flags, judge, evaluation.hashes));
  evaluation.sides.push_back(side("ours", flags.model, flags.lora, evaluation.requests, flags, judge, evaluation.hashes));
  evaluation.save(flags.out);
  const Json result = evaluation.to_json();
  const auto page = write_report(flags.out);
  if (flags.json) {
    std::printf("%s\n", Json{{"comparisons", result.at("comparisons")}, {"report", page.string()}}.dump().c_str());
  } else {
    std::printf("%s%s\n", show_comparisons(result).c_str(), page.c_str());
  }
}

}  // namespace

void add_eval(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--model", flags->model, "model folder")->required();
  app.add_option("--lora", flags->lora, "LoRA on it, with an optional weight: the side that is judged")->type_name("FILE[:WEIGHT]");
  app.add_option("--base", flags->base, "model folder to compare with (default: --model without the LoRA)");
  app.add_option("--prompts", flags->prompts, "file with one prompt a line (default: held-out prompts of the embedded world)");
  app.add_option("--split", flags->split, "which held-out prompts of the embedded world: tune on development, report on test")
      ->check(CLI::IsMember({"test", "development"}))
      ->capture_default_str();
  app.add_option("--count", flags->count, "how many held-out prompts")->check(whole(1, 100000))->capture_default_str();
  app.add_option("--repeats", flags->repeats, "pictures for each prompt")->check(whole(1, 10000))->capture_default_str();
  app.add_option("--steps", flags->sampling.steps, "sampling steps")->check(whole(1, 1000))->capture_default_str();
  app.add_option("--guidance-scale", flags->sampling.guidance_scale, "classifier-free guidance; 1 is none")
      ->check(number(0, 1000))
      ->capture_default_str();
  app.add_option("--scheduler", flags->sampling.sampler, one_of(sampler_names()) + " (default: the model's own)");
  app.add_option("--batch", flags->sampling.batch, "pictures at once")->check(whole(1, 4096))->capture_default_str();
  app.add_option("--seed", flags->seed, "of noise and prompts")->check(a_seed())->capture_default_str();
  app.add_option("--dtype", flags->dtype, "float32 or bf16")->capture_default_str();
  app.add_option("--device", flags->device, "cpu or cuda")->capture_default_str();
  app.add_option("--threads", flags->threads, "0: as many as there are cores")->check(a_thread_count())->capture_default_str();
  app.add_option("--out", flags->out, "folder for pictures, eval.json and report.html; must not exist")->required();
  app.add_flag("--json", flags->json, "one JSON object on stdout");
  app.footer(
      "The same prompt and the same starting noise on both sides; the judge is the embedded world's oracle.\n"
      "Example:\n  palate eval --model assets/base --lora runs/demo-1/dpo/pytorch_lora_weights.safetensors --out runs/eval-1");
  app.callback([flags] { run(*flags); });
}

}  // namespace palate
