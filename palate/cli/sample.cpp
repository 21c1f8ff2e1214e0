// palate sample: prompts and seeds to pictures and a manifest that says how each was made.
#include <torch/types.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/cli/lora_flags.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/eval/paired.h"
#include "palate/io/atomic_file.h"
#include "palate/io/image.h"
#include "palate/pipeline/pipeline.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string model, prompts_file, out, latents, save_latents, init_image, guidance = "cfg", dtype = "float32", device = "cpu";
  double reward_weight = 3;
  std::vector<std::string> prompts, lora;
  GenerateOptions sampling;
  int64_t count = 1, threads = 0;
};

std::vector<std::string> read_prompts(const Flags& flags) {
  std::vector<std::string> prompts = flags.prompts;
  if (!flags.prompts_file.empty()) {
    const auto more = read_prompt_file(flags.prompts_file);
    prompts.insert(prompts.end(), more.begin(), more.end());
  }
  for (const auto& prompt : prompts) check<UsageError>(!prompt.empty(), "--prompt is empty: expected what to draw");
  check<UsageError>(!prompts.empty(), "sample needs --prompt TEXT, or --prompts FILE with one prompt a line");
  return prompts;
}

// Latents as `palate sample --save-latents` or another program wrote them: one row a picture, used instead of the seed's noise.
Tensor read_latents(const std::string& path, size_t count) {
  const SafetensorsFile file(path);
  check<UsageError>(file.contains("latents"), path, ": expected a tensor named 'latents', found ",
                    file.names().size() > 8 ? concat(file.names().size(), " others") : one_of(file.names()));
  const Tensor latents = file.tensor("latents").to(torch::kFloat32);
  check<UsageError>(latents.dim() == 4 && latents.size(0) == static_cast<int64_t>(count), path, ": expected latents [", count,
                    ", C, H, W], one row a picture, found ", show_shape(latents.sizes()));
  return latents;
}

Json manifest_line(const Flags& flags, const GenerateRequest& request, const std::string& file, const std::string& unet) {
  const GenerateOptions& s = flags.sampling;
  return {{"image", file},
          {"prompt", request.prompt},
          {"id", request.id},
          {"seed", s.seed},
          {"model", flags.model},
          {"unet_sha256", unet},
          {"lora", flags.lora},
          {"negative_prompt", s.negative},
          {"scheduler", s.sampler},
          {"steps", s.steps},
          {"guidance_scale", s.guidance_scale},
          {"guidance_rescale", s.guidance_rescale},
          {"guidance", flags.guidance},
          {"reward_weight", s.reward_weight.value_or(0)},
          {"base_prompt", s.base_prompt},
          {"init_image", flags.init_image},
          {"strength", flags.init_image.empty() ? 1 : s.strength},
          {"latents", flags.latents},
          {"dtype", flags.dtype}};
}

void write_pictures(const Flags& flags, const std::vector<GenerateRequest>& requests, const Tensor& pictures, const std::string& unet) {
  LineWriter manifest(fs::path(flags.out) / "manifest.jsonl", false);
  for (size_t i = 0; i < requests.size(); ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "%05zu.png", i);
    write_png(fs::path(flags.out) / name, pictures[static_cast<int64_t>(i)]);
    manifest.line(manifest_line(flags, requests[i], name, unet).dump());
  }
}

// Such latents would become black pictures.
void refuse_non_finite(const Tensor& latents, const std::vector<GenerateRequest>& requests) {
  const Tensor good = latents.isfinite().flatten(1).all(1).cpu();
  for (size_t i = 0; i < requests.size(); ++i) {
    check(good[static_cast<int64_t>(i)].item<bool>(), "picture ", i, " (\"", requests[i].prompt,
          "\"): the sampler gave values that are not finite; nothing was written: a lower --guidance-scale, --dtype float32 or another "
          "LoRA may help");
  }
}

// On the U-Net and on each text encoder.
std::vector<Lora> hang_loras(Pipeline& pipeline, const std::vector<std::string>& flags) {
  if (flags.empty()) return {};
  ModelParts parts = {{"unet", &pipeline.denoiser().module()}};
  for (const size_t which : pipeline.prompt_encoder().present()) parts[which == 0 ? "text_encoder" : "text_encoder_2"] = &pipeline.prompt_encoder().encoder(which).module();
  return load_loras(parts, flags);
}

// The picture to edit as latents (the posterior's mean), at the size asked for or its own, cut to whole latents as diffusers does.
void read_init_image(Flags& flags, Pipeline& pipeline) {
  Tensor image = read_image(flags.init_image);
  const int64_t factor = pipeline.autoencoder().factor();
  const auto side = [&](int64_t asked, int64_t own) { return asked > 0 ? asked : own / factor * factor; };
  const int64_t height = side(flags.sampling.height, image.size(1)), width = side(flags.sampling.width, image.size(2));
  check<UsageError>(height > 0 && width > 0, flags.init_image, ": is smaller than one latent of ", factor, " pixels: expected a larger picture, or --height and --width");
  if (height != image.size(1) || width != image.size(2)) image = resize_image(image, height, width, Filter::lanczos);
  flags.sampling.height = height;
  flags.sampling.width = width;
  flags.sampling.init_latents = pipeline.to_latents(pipeline.encode_images(image.unsqueeze(0)), {});
}

void sample(Flags& flags) {
  set_threads(flags.threads);
  const std::vector<GenerateRequest> requests = paired_requests(read_prompts(flags), flags.count);
  check_new_folder(flags.out);
  check_parent(flags.save_latents);
  Pipeline pipeline(flags.model, {.dtype = parse_dtype(flags.dtype), .device = parse_device(flags.device), .variant = ""});
  const std::vector<Lora> loras = hang_loras(pipeline, flags.lora);
  if (flags.guidance == "reward") flags.sampling.reward_weight = flags.reward_weight;
  check<UsageError>(flags.guidance == "cfg" || !flags.lora.empty(), "--guidance reward compares a model with and without its adapters: give at least one --lora");
  check<UsageError>(flags.guidance == "reward" || flags.sampling.base_prompt.empty(), "--base-prompt is used by --guidance reward alone");
  if (!flags.init_image.empty()) read_init_image(flags, pipeline);
  if (!flags.latents.empty()) flags.sampling.starting_noise = read_latents(flags.latents, requests.size());
  make_folder(flags.out);
  const Tensor latents = pipeline.generate_latents(requests, flags.sampling);
  refuse_non_finite(latents, requests);
  if (!flags.save_latents.empty()) save_safetensors(flags.save_latents, {{"latents", latents.to(torch::kFloat32)}});
  write_pictures(flags, requests, from_unit(pipeline.decode(latents).cpu()), pipeline.weights_hash("unet"));
  log(requests.size(), requests.size() == 1 ? " picture" : " pictures", " and manifest.jsonl: ", flags.out);
}

}  // namespace

void add_sample(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  GenerateOptions& s = flags->sampling;
  app.add_option("--model", flags->model, "model folder in diffusers' layout")->required()->type_name("DIR");
  app.add_option("--lora", flags->lora, "LoRA with an optional weight; repeatable")->type_name("FILE[:WEIGHT]")->allow_extra_args(false);
  app.add_option("--prompt", flags->prompts, "what to draw; repeatable")->type_name("TEXT")->allow_extra_args(false);
  app.add_option("--prompts", flags->prompts_file, "file with one prompt a line")->type_name("FILE");
  app.add_option("--negative", s.negative, "what to keep away from")->type_name("TEXT");
  app.add_option("--count", flags->count, "pictures for each prompt")->capture_default_str()->type_name("INT")->check(whole(1, 1'000'000));
  app.add_option("--scheduler", s.sampler, one_of(sampler_names()) + ", or diffusers' class name (default: the model's own)")->type_name("NAME");
  app.add_option("--steps", s.steps, "sampling steps")->capture_default_str()->check(whole(1, 1'000'000));
  app.add_option("--guidance-scale", s.guidance_scale, "classifier-free guidance; 1 is none")
      ->capture_default_str()
      ->check(number(-1000, 1000));
  app.add_option("--guidance", flags->guidance, "cfg, or reward: DCO's, the LoRA's change over the base is added --reward-weight times")
      ->capture_default_str()
      ->check(CLI::IsMember({"cfg", "reward"}));
  app.add_option("--reward-weight", flags->reward_weight, "of --guidance reward; 0 is the base model")->capture_default_str()->check(number(-1000, 1000));
  app.add_option("--base-prompt", s.base_prompt, "what the base is asked for with --guidance reward (default: the prompt)")->type_name("TEXT");
  app.add_option("--guidance-rescale", s.guidance_rescale, "share of the spread that is taken back; 0 is none")
      ->capture_default_str()
      ->check(number(0, 1));
  app.add_option("--seed", s.seed, "of the noise; with the prompt it fixes the picture")
      ->capture_default_str()
      ->check(a_seed());
  app.add_option("--height", s.height, "in pixels (default: what the model was made for)")->check(whole(8, 16384));
  app.add_option("--width", s.width, "in pixels")->check(whole(8, 16384));
  app.add_option("--batch", s.batch, "pictures at once; changes no picture but for rounding")->capture_default_str()->check(whole(1, 4096));
  app.add_option("--init-image", flags->init_image, "picture to start from (SDEdit)")->type_name("FILE");
  app.add_option("--strength", s.strength, "with --init-image: the share of the steps that is made; 1 keeps next to nothing of it")
      ->capture_default_str()
      ->check(number(0, 1));
  app.add_option("--latents", flags->latents, "safetensors with `latents` [N,C,H,W]: starting noise instead of the seed's")
      ->type_name("FILE");
  app.add_option("--save-latents", flags->save_latents, "safetensors for the finished `latents`")->type_name("FILE");
  app.add_option("--dtype", flags->dtype, "float32, bf16 or fp16")->capture_default_str();
  app.add_option("--device", flags->device, "cpu or cuda")->capture_default_str();
  app.add_option("--threads", flags->threads, "0: as many as there are cores")->capture_default_str()->check(a_thread_count());
  app.add_option("--out", flags->out, "folder for the pictures and manifest.jsonl; new or empty")->required()->type_name("DIR");
  app.footer("Example:\n  palate sample --model assets/base --prompt \"a red circle\" --count 4 --out pictures");
  app.callback([flags] { sample(*flags); });
}

}  // namespace palate
