// palate sample: prompts and seeds to pictures and a manifest that says how each was made.
#include <torch/types.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/cli/lora_flags.h"
#include "palate/cli/sample_flags.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/io/atomic_file.h"
#include "palate/io/image.h"
#include "palate/io/safetensors.h"
#include "palate/io/sample_folder.h"
#include "palate/pipeline/edit.h"
#include "palate/pipeline/pipeline_loras.h"
#include "palate/pipeline/requests.h"

namespace palate {
namespace {

// Such latents would become black pictures.
void refuse_non_finite(const Tensor& latents, const std::vector<GenerateRequest>& requests, size_t first) {
  const Tensor good = latents.isfinite().flatten(1).all(1).cpu();
  for (int64_t i = 0; i < latents.size(0); ++i) {
    const size_t request = first + static_cast<size_t>(i);
    check(good[i].item<bool>(), "picture ", request, " (\"", requests[request].prompt,
          "\"): the sampler gave values that are not finite, so it was not written: a lower --guidance-scale, --dtype float32 or another "
          "LoRA may help");
  }
}

void check_flags(const SampleFlags& flags) {
  check<UsageError>(flags.guidance == "cfg" || !flags.lora.empty(),
                    "--guidance reward compares a model with and without its adapters: give at least one --lora");
  check<UsageError>(flags.guidance == "reward" || flags.sampling.base_prompt.empty(), "--base-prompt is used by --guidance reward alone");
  check<UsageError>(flags.mask.empty() || !flags.init_image.empty(),
                    "--mask says what of a picture is made anew: give the picture with --init-image");
  check<UsageError>(!flags.resume || flags.save_latents.empty(),
                    "--save-latents keeps the latents of all pictures, but with --resume some were made before: leave one of them out");
  check_input("--init-image", flags.init_image);
  check_input("--mask", flags.mask);
  check_input("--latents", flags.latents);
  check_parent(flags.save_latents);
  if (!flags.resume) check_new_folder(flags.out);
}

// The rows of those requests, where there is one for each; a single row stands for all.
Tensor rows_for(const Tensor& given, const std::vector<size_t>& requests) {
  if (!given.defined() || given.size(0) == 1) return given;
  std::vector<int64_t> rows(requests.begin(), requests.end());
  return given.index_select(0, torch::tensor(rows, torch::kInt64));
}

// Batch by batch, each written as it is made. Returns the latents of all where they are to be kept.
std::vector<Tensor> make_pictures(SampleFlags& flags, Pipeline& pipeline, const std::vector<GenerateRequest>& requests,
                                  SampleFolder& folder) {
  const std::vector<size_t> missing = folder.missing();
  std::vector<GenerateRequest> wanted;
  for (const size_t i : missing) wanted.push_back(requests[i]);
  std::vector<Tensor> kept;
  if (wanted.empty()) return kept;
  flags.sampling.starting_noise = rows_for(flags.sampling.starting_noise, missing);
  if (flags.sampling.step_noise.defined() && missing.size() < requests.size()) {
    flags.sampling.step_noise =
        flags.sampling.step_noise.index_select(1, torch::tensor(std::vector<int64_t>(missing.begin(), missing.end())));
  }
  pipeline.generate_each(wanted, flags.sampling, [&](size_t first, const Tensor& latents) {
    refuse_non_finite(latents, wanted, first);
    const Tensor pictures = from_unit(pipeline.decode(latents).cpu());
    for (int64_t i = 0; i < pictures.size(0); ++i) folder.add(missing[first + static_cast<size_t>(i)], pictures[i]);
    if (!flags.save_latents.empty()) kept.push_back(latents.to(torch::kCPU, torch::kFloat32));
  });
  return kept;
}

void sample(SampleFlags& flags) {
  set_threads(flags.threads);
  const std::vector<GenerateRequest> requests = paired_requests(read_prompts(flags), flags.count);
  check_flags(flags);
  if (flags.guidance == "reward") flags.sampling.reward_weight = flags.reward_weight;
  Pipeline pipeline(flags.model, {.dtype = parse_dtype(flags.dtype), .device = parse_device(flags.device), .variant = flags.variant});
  pipeline.prompt_encoder().set_style(flags.style);
  pipeline.set_tiling(flags.tiling);
  read_embeddings(flags.embeddings, pipeline);
  const std::vector<Lora> loras = hang_loras(pipeline, parse_lora_flags(flags.lora));
  if (!flags.latents.empty()) set_latents(flags.sampling, flags.latents, requests.size());
  if (!flags.init_image.empty()) set_init_image(flags.sampling, pipeline, flags.init_image, flags.mask);
  const std::string& network = pipeline.denoiser_component();
  std::vector<ManifestEntry> entries;
  for (const auto& request : requests)
    entries.push_back({.image = "", .prompt = request.prompt, .id = request.id, .seed = flags.sampling.seed});
  SampleFolder folder(flags.out, std::move(entries), settings_of(flags, {network + "_sha256", pipeline.weights_hash(network)}),
                      flags.resume ? Existing::goes_on : Existing::refused);
  const size_t before = requests.size() - folder.missing().size();
  if (before > 0) log_info(before, " of ", requests.size(), " pictures are there already: ", flags.out);
  const std::vector<Tensor> latents = make_pictures(flags, pipeline, requests, folder);
  if (!flags.save_latents.empty()) save_safetensors(flags.save_latents, {{"latents", torch::cat(latents)}});
  log_info(requests.size(), requests.size() == 1 ? " picture" : " pictures", " and manifest.jsonl: ", flags.out);
}

void add_sampling(CLI::App& app, SampleFlags& flags) {
  GenerateOptions& s = flags.sampling;
  app.add_option("--negative", s.negative, "what to keep away from")->type_name("TEXT");
  app.add_option("--count", flags.count, "pictures for each prompt")->capture_default_str()->type_name("INT")->check(whole(1, 1'000'000));
  app.add_option("--scheduler", s.sampler, one_of(sampler_names()) + ", or diffusers' class name (default: the model's own)")
      ->type_name("NAME");
  app.add_option("--steps", s.steps, "sampling steps")->capture_default_str()->check(whole(1, 1'000'000));
  app.add_option("--guidance-scale", s.guidance_scale, "classifier-free guidance; 1 is none")
      ->capture_default_str()
      ->check(number(-1000, 1000));
  app.add_option("--guidance", flags.guidance, "cfg, or reward: DCO's, the LoRA's change over the base is added --reward-weight times")
      ->capture_default_str()
      ->check(CLI::IsMember({"cfg", "reward"}));
  app.add_option("--reward-weight", flags.reward_weight, "of --guidance reward; 0 is the base model")
      ->capture_default_str()
      ->check(number(-1000, 1000));
  app.add_option("--base-prompt", s.base_prompt, "what the base is asked for with --guidance reward (default: the prompt)")
      ->type_name("TEXT");
  app.add_option("--guidance-rescale", s.guidance_rescale, "share of the spread that is taken back; 0 is none")
      ->capture_default_str()
      ->check(number(0, 1));
  app.add_option("--seed", s.seed, "of the noise; with the prompt it fixes the picture")->capture_default_str()->check(a_seed());
  app.add_option("--height", s.height, "in pixels (default: what the model was made for)")->check(whole(8, 16384));
  app.add_option("--width", s.width, "in pixels")->check(whole(8, 16384));
  app.add_option("--batch", s.batch, "pictures at once; changes no picture but for rounding")->capture_default_str()->check(whole(1, 4096));
}

}  // namespace

void add_sample(CLI::App& app) {
  auto flags = std::make_shared<SampleFlags>();
  app.add_option("--model", flags->model, "model folder in diffusers' layout, or ORG/NAME that palate pull fetched")
      ->required()
      ->type_name("DIR");
  app.add_option("--variant", flags->variant, "of the weights: fp16 takes those named *.fp16.safetensors")->type_name("NAME");
  app.add_option("--lora", flags->lora, "LoRA with an optional weight; repeatable")->type_name("FILE[:WEIGHT]")->allow_extra_args(false);
  app.add_option("--prompt", flags->prompts, "what to draw; repeatable")->type_name("TEXT")->allow_extra_args(false);
  app.add_option("--prompts", flags->prompts_file, "file with one prompt a line")->type_name("FILE");
  add_sampling(app, *flags);
  app.add_option("--init-image", flags->init_image, "picture to start from (SDEdit)")->type_name("FILE");
  app.add_option("--strength", flags->sampling.strength,
                 "with --init-image: the share of the steps that is made; 1 keeps next to nothing of it")
      ->capture_default_str()
      ->needs("--init-image")
      ->check(number(0.001, 1));
  app.add_option("--mask", flags->mask,
                 "with --init-image: a picture of its size, white where it is made anew (--strength 1 starts there from noise); a model "
                 "made for inpainting needs it")
      ->type_name("FILE");
  app.add_option("--embedding", flags->embeddings, "textual inversion: a word that prompts may use, by its own name or NAME; repeatable")
      ->type_name("FILE[=NAME]")
      ->allow_extra_args(false);
  app.add_flag("--prompt-weights", flags->style.weights, "read (word:1.2), (word) and [word] in prompts as weights");
  app.add_flag("--long-prompts", flags->style.chunks,
               "give prompts of more than 75 tokens to the text encoder in parts, instead of cutting them");
  app.add_flag("--vae-tiling", flags->tiling, "decode large pictures in tiles: less memory, slightly other pixels");
  app.add_flag("--resume", flags->resume, "go on in a folder that the same command began: pictures that are there are not made again");
  app.add_option("--latents", flags->latents,
                 "safetensors with `latents` [N,C,H,W]: starting noise instead of the seed's; with `step_noise` [steps,N,C,H,W] if wanted")
      ->type_name("FILE");
  app.add_option("--save-latents", flags->save_latents, "safetensors for the finished `latents`")->type_name("FILE");
  app.add_option("--dtype", flags->dtype, "float32, bf16 or fp16")->capture_default_str();
  app.add_option("--device", flags->device, "cpu or cuda")->capture_default_str();
  app.add_option("--threads", flags->threads, "0: as many as there are cores")->capture_default_str()->check(a_thread_count());
  app.add_option("--out", flags->out, "folder for the pictures and manifest.jsonl; new or empty unless --resume")
      ->required()
      ->type_name("DIR");
  app.footer(
      "Examples:\n  palate sample --model assets/base --prompt \"a red circle\" --count 4 --out pictures\n"
      "  palate sample --model models/sd15 --prompts prompts.txt --lora run/pytorch_lora_weights.safetensors:0.8 --out all --resume\n"
      "  palate sample --model models/sd15 --prompt \"a cat\" --init-image room.png --mask sofa.png --strength 1 --out edited");
  app.callback([flags] { sample(*flags); });
}

}  // namespace palate
