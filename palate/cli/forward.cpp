// palate forward: one component of a model on given tensors, named as the arguments of diffusers' forward. The tool for comparing
// models with any other implementation.
#include <torch/types.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "palate/cli/command.h"
#include "palate/cli/flag_checks.h"
#include "palate/cli/lora_flags.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/hub/model_path.h"
#include "palate/io/safetensors.h"
#include "palate/models/clip/clip_model.h"
#include "palate/models/registry.h"
#include "palate/pipeline/model_folder.h"
#include "palate/text/clip_tokenizer.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

struct ForwardFlags {
  std::string model, component, in, out, text, dtype = "float32", device = "cpu";
  std::vector<std::string> lora;
  int64_t threads = 0;
};

class Inputs {
 public:
  Inputs(const std::string& path, const LoadOptions& options) : file_(path), options_(options) {}

  Tensor optional(const std::string& name) const { return file_.contains(name) ? file_.tensor(name).to(options_.device) : Tensor(); }
  Tensor required(const std::string& name, int64_t dimensions) const {
    check<UsageError>(file_.contains(name), file_.path().string(), ": the tensor '", name, "' is missing (the file holds ",
                      one_of(file_.names()), ")");
    const Tensor tensor = optional(name);
    check<UsageError>(tensor.dim() == dimensions, file_.path().string(), ": '", name, "' should have ", dimensions, " dimensions, found ",
                      show_shape(tensor.sizes()));
    return tensor;
  }
  // In the compute dtype.
  Condition converted(const Condition& condition) const { return condition.to(options_.device, options_.dtype); }
  Tensor values(const std::string& name, int64_t dimensions) const { return required(name, dimensions).to(options_.dtype); }

 private:
  SafetensorsFile file_;
  LoadOptions options_;
};

// The component's folder in a model folder, or the folder itself when it is a component's.
fs::path component_folder(const fs::path& model, const std::string& name) {
  if (fs::is_directory(model / name)) return model / name;
  check<UsageError>(fs::exists(model / "config.json"), (model / name).string(), ": there is no such folder, and ", model.string(),
                    " holds no config.json");
  return model;
}

Condition read_condition(const Inputs& in, bool with_text) {
  if (with_text) in.required("encoder_hidden_states", 3);
  Condition condition;
  for (const auto& name : condition_names()) condition.set(name, in.optional(name));
  return in.converted(condition);
}

std::vector<std::string> component_names() {
  return {unet_component, "vae-encode", "vae-decode", "text", "text2", "vision", "clip", "tokenize"};
}

TensorMap run_denoiser(const ForwardFlags& flags, const Inputs& in, const LoadOptions& options) {
  const auto model = load_denoiser(component_folder(flags.model, flags.component), options);
  std::vector<Lora> loras;
  for (const auto& choice : parse_lora_flags(flags.lora)) loras.push_back(Lora::load(model->module(), choice.file, choice.weight));
  const Tensor sample = in.values("sample", 4);
  Tensor timestep = in.optional("timestep");
  check<UsageError>(timestep.defined(), flags.in, ": the tensor 'timestep' is missing");
  timestep = timestep.flatten();
  const int64_t batch = sample.size(0);
  check<UsageError>(timestep.numel() == 1 || timestep.numel() == batch, flags.in, ": timestep has ", timestep.numel(),
                    " values, expected one or ", batch);
  return {{"sample", model->predict(sample, timestep.expand({batch}), read_condition(in, model->text_width() > 0))}};
}

TensorMap run_vae(const ForwardFlags& flags, const Inputs& in, const LoadOptions& options) {
  const auto model = load_autoencoder(component_folder(flags.model, "vae"), options);
  if (flags.component == "vae-decode") return {{"pixels", model->decode(in.values("latents", 4))}};
  const Posterior posterior = model->encode(in.values("pixels", 4));
  return {{"mean", posterior.mean}, {"logvar", posterior.logvar}};
}

TensorMap run_text(const ForwardFlags& flags, const Inputs& in, const LoadOptions& options) {
  const std::string name = flags.component == "text2" ? "text_encoder_2" : "text_encoder";
  const auto model = load_text_encoder(component_folder(flags.model, name), options);
  const std::vector<Lora> loras = hang_loras(ModelParts{{name, &model->module()}}, parse_lora_flags(flags.lora));
  const TextStates states = model->encode(in.required("input_ids", 2).to(torch::kInt64), in.optional("attention_mask"));
  TensorMap out = {{"last_hidden_state", states.last_hidden_state}, {"pooler_output", states.pooler_output}};
  if (states.text_embeds.defined()) out["text_embeds"] = states.text_embeds;
  for (size_t i = 0; i < states.hidden_states.size(); ++i) out["hidden_states." + std::to_string(i)] = states.hidden_states[i];
  return out;
}

TensorMap run_vision(const ForwardFlags& flags, const Inputs& in, const LoadOptions& options) {
  const auto model = load_vision_encoder(component_folder(flags.model, "image_encoder"), options);
  const VisionStates states = model->encode(in.values("pixel_values", 4));
  TensorMap out = {{"last_hidden_state", states.last_hidden_state}, {"pooler_output", states.pooler_output}};
  if (states.image_embeds.defined()) out["image_embeds"] = states.image_embeds;
  for (size_t i = 0; i < states.hidden_states.size(); ++i) out["hidden_states." + std::to_string(i)] = states.hidden_states[i];
  return out;
}

// Embeddings as get_image_features and get_text_features give them, and each picture's score for each text.
TensorMap run_clip(const ForwardFlags& flags, const Inputs& in, const LoadOptions& options) {
  const auto model = load_clip_model(flags.model, options);
  const Tensor images = model->image_embeds(in.values("pixel_values", 4));
  const Tensor texts = model->text_embeds(in.required("input_ids", 2).to(torch::kInt64));
  const int64_t count = images.size(0), each = texts.size(0);
  const Tensor scores = model->scores(images.repeat_interleave(each, 0), texts).view({count, each});
  return {{"image_embeds", images}, {"text_embeds", texts}, {"logits_per_image", scores}};
}

void tokenize(const ForwardFlags& flags) {
  const fs::path model = flags.model;
  const ClipTokenizer tokenizer(fs::is_directory(model / "tokenizer") ? model / "tokenizer" : model);
  std::printf("%s\n", Json(tokenizer.encode(flags.text)).dump().c_str());
}

void forward(ForwardFlags flags) {
  flags.model = model_path(flags.model).string();
  if (flags.component == "tokenize") return tokenize(flags);
  check<UsageError>(!flags.in.empty() && !flags.out.empty(), "forward --component ", flags.component, " needs --in FILE and --out FILE");
  check_input("--in", flags.in);
  check_parent(flags.out);
  set_threads(flags.threads);
  const torch::NoGradGuard no_grad;
  const LoadOptions options{.dtype = parse_dtype(flags.dtype), .device = parse_device(flags.device), .variant = ""};
  const Inputs in(flags.in, options);
  TensorMap out;
  if (flags.component.starts_with("vae"))
    out = run_vae(flags, in, options);
  else if (flags.component == "vision")
    out = run_vision(flags, in, options);
  else if (flags.component == "clip")
    out = run_clip(flags, in, options);
  else if (flags.component.starts_with("text"))
    out = run_text(flags, in, options);
  else
    out = run_denoiser(flags, in, options);
  for (auto& [name, tensor] : out) tensor = tensor.to(torch::kCPU, torch::kFloat32);
  save_safetensors(flags.out, out);
}

}  // namespace

void add_forward(CLI::App& app) {
  auto flags = std::make_shared<ForwardFlags>();
  app.add_option("--model", flags->model, "model folder in diffusers' layout, or the component's own folder")->required()->type_name("DIR");
  app.add_option("--component", flags->component, one_of(component_names()))
      ->required()
      ->type_name("NAME")
      ->check(CLI::IsMember(component_names()));
  app.add_option("--in", flags->in, "safetensors with the inputs")->type_name("FILE");
  app.add_option("--out", flags->out, "safetensors for the outputs, in float32")->type_name("FILE");
  app.add_option("--text", flags->text, "what tokenize encodes")->type_name("TEXT");
  app.add_option("--lora", flags->lora, "LoRA with an optional weight; repeatable")->type_name("FILE[:WEIGHT]")->allow_extra_args(false);
  app.add_option("--dtype", flags->dtype, "float32, bf16 or fp16")->capture_default_str();
  app.add_option("--device", flags->device, "cpu or cuda")->capture_default_str();
  app.add_option("--threads", flags->threads, "0: as many as there are cores")->check(a_thread_count())->capture_default_str();
  app.footer(
      "Tensors, named as in diffusers:\n"
      "  unet        in: sample [B,C,H,W], timestep [B] or one value, encoder_hidden_states [B,L,D];\n"
      "              SDXL also text_embeds [B,P], time_ids [B,6]; where the model has them class_labels [B]\n"
      "              or [B,P], timestep_cond [B,C]; if wanted attention_mask [B,HW],\n"
      "              encoder_attention_mask [B,L] (1 keep, 0 discard). out: sample\n"
      "  vae-encode  in: pixels [B,3,H,W] in [-1,1]. out: mean, logvar\n"
      "  vae-decode  in: latents, already divided by the scaling factor. out: pixels\n"
      "  text, text2 in: input_ids [B,L], if wanted attention_mask [B,L]. out: last_hidden_state, pooler_output, hidden_states.0 ..., "
      "text_embeds\n"
      "  vision      in: pixel_values [B,3,S,S]. out: last_hidden_state, pooler_output, hidden_states.0 ..., image_embeds\n"
      "  clip        in: pixel_values [B,3,S,S], input_ids [T,L]. out: image_embeds, text_embeds, logits_per_image [B,T]\n"
      "  tokenize    prints the padded ids of --text as JSON\n"
      "Example:\n  palate forward --model sd15 --component unet --in in.safetensors --out out.safetensors");
  app.callback([flags] { forward(*flags); });
}

}  // namespace palate
