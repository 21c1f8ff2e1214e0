// palate eval: two models, or two sets of pictures that are there already, under the same judges.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/cli/lora_flags.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/eval/evaluation.h"
#include "palate/io/prompt_file.h"
#include "palate/pipeline/pipeline_loras.h"
#include "palate/report/report.h"
#include "palate/world/prompts.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

struct EvalFlags {
  std::string model, base, lora, prompts, pictures, base_pictures, out, split = "test", device = "cpu", dtype = "float32";
  std::vector<std::string> judges = {"oracle"};
  int64_t count = 400, repeats = 1, seed = 0, threads = 0;
  GenerateOptions sampling;
  bool json = false;
};

std::vector<std::string> read_prompts(const EvalFlags& flags) {
  if (flags.prompts.empty()) {
    const auto split = flags.split == "test" ? world::Split::test : world::Split::development;
    return world::prompts(split, world::Kind::mixed, flags.count, static_cast<uint64_t>(flags.seed));
  }
  return read_prompt_file(flags.prompts);
}

std::unique_ptr<Pipeline> open(const std::string& model, const EvalFlags& flags) {
  return std::make_unique<Pipeline>(model,
                                    LoadOptions{.dtype = parse_dtype(flags.dtype), .device = parse_device(flags.device), .variant = ""});
}

std::vector<Lora> hang(Pipeline& pipeline, const std::string& lora) {
  return hang_loras(pipeline, lora.empty() ? std::vector<LoraChoice>{} : std::vector{parse_lora_flag(lora)});
}

void draw(Evaluation& evaluation, const std::string& name, Pipeline& pipeline, const std::string& lora,
          const std::vector<GenerateRequest>& requests, const EvalFlags& flags) {
  std::vector<Lora> loras = hang(pipeline, lora);
  evaluation.hashes[name + " " + pipeline.denoiser_component()] = pipeline.weights_hash(pipeline.denoiser_component());
  if (!lora.empty()) evaluation.hashes[name + " lora"] = sha256_file(parse_lora_flag(lora).file);
  GenerateOptions sampling = flags.sampling;
  sampling.title = "sampling " + name;
  const fs::path folder = fs::path(flags.out) / "pictures" / name;
  evaluation.sides.push_back(draw_side(name, pipeline, requests, sampling, evaluation.judges, folder));
  for (Lora& hung : loras) hung.remove();
}

// Whatever can be refused is refused before the first picture is drawn.
void compare_models(Evaluation& evaluation, EvalFlags flags) {
  if (flags.base.empty()) flags.base = flags.model;
  check<UsageError>(flags.base != flags.model || !flags.lora.empty(),
                    "there is nothing to compare: give --lora, or another model with --base");
  flags.sampling.seed = evaluation.seed;
  evaluation.sampling = flags.sampling;
  const auto requests = paired_requests(read_prompts(flags), flags.repeats);
  std::unique_ptr<Pipeline> pipeline = open(flags.base, flags), other;  // one loads its network when it draws
  if (flags.base != flags.model) other = open(flags.model, flags);
  for (Pipeline* model : {pipeline.get(), other.get()}) {
    if (model) require_all(evaluation.judges, *model, requests, flags.sampling);
  }
  for (Lora& hung : hang(other ? *other : *pipeline, flags.lora)) hung.remove();  // a file that cannot be hung is said now
  other.reset();                                                                  // one network is held at a time
  draw(evaluation, "base", *pipeline, "", requests, flags);
  if (flags.base != flags.model) pipeline = open(flags.model, flags);
  draw(evaluation, "ours", *pipeline, flags.lora, requests, flags);
}

void compare_pictures(Evaluation& evaluation, const EvalFlags& flags) {
  const auto [base, ours] = paired(read_pictures(flags.base_pictures), read_pictures(flags.pictures));
  for (const auto& [name, pictures] : {std::pair{"base", base}, std::pair{"ours", ours}}) {
    Sha256 hash;
    evaluation.sides.push_back({name, pictures, score_pictures(pictures, evaluation.judges, flags.sampling.batch, &hash)});
    evaluation.hashes[std::string(name) + " pictures"] = hash.hex();
  }
}

void run(const EvalFlags& flags) {
  set_threads(flags.threads);
  check<UsageError>(!fs::exists(flags.out), flags.out, ": the output folder is already there: name another");
  check<UsageError>(flags.model.empty() != flags.pictures.empty() && flags.pictures.empty() == flags.base_pictures.empty(),
                    "eval: expected either --model, or --pictures and --base-pictures");
  Evaluation evaluation;
  evaluation.judges = make_judges(flags.judges);
  evaluation.seed = static_cast<uint64_t>(flags.seed);
  if (flags.pictures.empty()) {
    compare_models(evaluation, flags);
  } else {
    compare_pictures(evaluation, flags);
  }
  const Json result = evaluation.save(flags.out);
  const auto page = write_report(flags.out);
  if (flags.json) {
    std::printf("%s\n", Json{{"comparisons", result.at("comparisons")}, {"report", page.string()}}.dump().c_str());
  } else {
    std::printf("%s%s\n", show_comparisons(result).c_str(), page.c_str());
  }
}

// What models draw with.
std::vector<CLI::Option*> add_drawing_flags(CLI::App& app, EvalFlags& flags) {
  std::vector<CLI::Option*> all;
  const auto add = [&](const std::string& name, auto& value, const std::string& help) {
    all.push_back(app.add_option(name, value, help));
    return all.back();
  };
  add("--lora", flags.lora, "LoRA on --model, with an optional weight: the side that is judged")->type_name("FILE[:WEIGHT]");
  add("--base", flags.base, "model folder to compare with (default: --model without the LoRA)");
  add("--prompts", flags.prompts, "file with one prompt a line (default: held-out prompts of the embedded world)");
  add("--split", flags.split, "which held-out prompts of the embedded world: tune on development, report on test")
      ->check(CLI::IsMember({"test", "development"}))
      ->capture_default_str();
  add("--count", flags.count, "how many held-out prompts")->check(whole(1, 100000))->capture_default_str();
  add("--repeats", flags.repeats, "pictures for each prompt")->check(whole(1, 10000))->capture_default_str();
  add("--steps", flags.sampling.steps, "sampling steps")->check(whole(1, 1000))->capture_default_str();
  add("--guidance-scale", flags.sampling.guidance_scale, "classifier-free guidance; 1 is none")
      ->check(number(0, 1000))
      ->capture_default_str();
  add("--scheduler", flags.sampling.sampler, one_of(sampler_names()) + " (default: the model's own)");
  add("--dtype", flags.dtype, "float32 or bf16")->capture_default_str();
  add("--device", flags.device, "cpu or cuda")->capture_default_str();
  return all;
}

}  // namespace

void add_eval(CLI::App& app) {
  auto flags = std::make_shared<EvalFlags>();
  app.add_option("--model", flags->model, "model folder");
  app.add_option("--pictures", flags->pictures, "instead of --model: a manifest.jsonl or a folder of pictures, the side that is judged")
      ->type_name("PATH");
  app.add_option("--base-pictures", flags->base_pictures, "with --pictures: what they are compared with, of the same prompts and seeds")
      ->type_name("PATH");
  const auto drawing = add_drawing_flags(app, *flags);
  app.add_option("--judge", flags->judges, "what scores the pictures, repeatable: " + one_of(judge_names()))
      ->type_name("NAME")
      ->allow_extra_args(false)
      ->capture_default_str();
  app.add_option("--batch", flags->sampling.batch, "pictures at once")->check(whole(1, 4096))->capture_default_str();
  app.add_option("--seed", flags->seed, "of noise, prompts and intervals")->check(a_seed())->capture_default_str();
  app.add_option("--threads", flags->threads, "0: as many as there are cores")->check(a_thread_count())->capture_default_str();
  app.add_option("--out", flags->out, "folder for pictures, eval.json and report.html; must not exist")->required();
  app.add_flag("--json", flags->json, "one JSON object on stdout");
  app.footer(
      "The same prompt and the same starting noise on both sides. What two models drew stays in OUT/pictures/base and OUT/pictures/ours, "
      "as\n"
      "palate sample writes it: palate judge, and palate eval --pictures, score it again.\n"
      "Examples:\n  palate eval --model assets/base --lora runs/demo-1/dpo/pytorch_lora_weights.safetensors --out runs/eval-1\n"
      "  palate eval --pictures runs/ours --base-pictures runs/base --out runs/eval-2");
  app.callback([flags, drawing] {
    for (const CLI::Option* option : drawing) {
      check<UsageError>(flags->pictures.empty() || option->count() == 0, option->get_name(),
                        " says what models draw, but the pictures are there already: leave it or --pictures out");
    }
    run(*flags);
  });
}

}  // namespace palate
