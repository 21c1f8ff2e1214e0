#include "palate/pipeline/pipeline.h"

#include <torch/types.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/io/image.h"
#include "palate/pipeline/model_folder.h"

namespace palate {
namespace {

Json read_scheduler(const ModelFolder& folder) { return read_json(folder.component("scheduler") / "scheduler_config.json"); }

}  // namespace

struct Pipeline::State {
  State(std::filesystem::path path, LoadOptions load)
      : folder(std::move(path)), options(std::move(load)), prompts(folder, options), scheduler(read_scheduler(folder)), schedule(scheduler) {}

  ModelFolder folder;
  LoadOptions options;
  PromptEncoder prompts;
  Json scheduler;
  NoiseSchedule schedule;
  std::unique_ptr<Denoiser> denoiser;
  std::unique_ptr<Autoencoder> autoencoder;
  std::optional<double> scaling;  // outlives the autoencoder
  std::map<std::string, std::string> hashes;

  Denoiser& unet() {
    if (!denoiser) denoiser = load_denoiser(folder.component("unet"), options);
    return *denoiser;
  }

  Autoencoder& vae() {
    if (!autoencoder) {
      LoadOptions exact = options;
      exact.dtype = torch::kFloat32;  // its activations leave float16's range and lose the picture's detail in bfloat16
      autoencoder = load_autoencoder(folder.component("vae"), exact);
      scaling = autoencoder->scaling_factor();
    }
    return *autoencoder;
  }
};

Pipeline::Pipeline(std::filesystem::path folder, LoadOptions options) : state_(std::make_unique<State>(std::move(folder), std::move(options))) {}
Pipeline::~Pipeline() = default;

const std::filesystem::path& Pipeline::folder() const { return state_->folder.path(); }
const Json& Pipeline::scheduler_config() const { return state_->scheduler; }
const NoiseSchedule& Pipeline::schedule() const { return state_->schedule; }

Denoiser& Pipeline::denoiser() { return state_->unet(); }
Autoencoder& Pipeline::autoencoder() { return state_->vae(); }

PromptEncoder& Pipeline::prompt_encoder() { return state_->prompts; }

void Pipeline::release_encoders() {
  state_->autoencoder.reset();
  state_->prompts.release();
}

std::string Pipeline::weights_hash(const std::string& component) {
  auto& known = state_->hashes[component];
  if (known.empty()) known = component_hash(state_->folder.component(component));
  return known;
}

Condition Pipeline::encode_prompts(const std::vector<std::string>& prompts) { return state_->prompts.encode(prompts); }

Condition Pipeline::encode_nothing(int64_t rows) {
  Condition condition = state_->prompts.encode(std::vector<std::string>(static_cast<size_t>(rows)));
  if (!state_->folder.option("force_zeros_for_empty_prompt", condition.text_embeds.defined())) return condition;
  condition.text.zero_();
  condition.text_embeds.zero_();
  return condition;
}

bool Pipeline::takes_time_ids() { return state_->unet().config().value("addition_embed_type", Json()) == "text_time"; }

Tensor Pipeline::time_ids(const MicroConditioning& micro) const {
  check<UsageError>(!state_->folder.option("requires_aesthetics_score", false), folder().string(),
                    ": a refiner, which is conditioned on an aesthetic score, is not supported: use the base model");
  return torch::tensor({micro.original_height, micro.original_width, micro.crop_top, micro.crop_left, micro.target_height, micro.target_width}, torch::kFloat32)
      .view({1, 6});
}

Posterior Pipeline::encode_images(const Tensor& images) {
  const torch::NoGradGuard no_grad;
  check(images.dim() == 4 && images.size(1) == 3 && images.scalar_type() == torch::kUInt8, "encoding images: expected uint8 [B, 3, H, W], found ",
        images.toString(), " ", show_shape(images.sizes()));
  const int64_t factor = autoencoder().factor();
  check<UsageError>(images.size(2) % factor == 0 && images.size(3) % factor == 0, "encoding images: height and width must be multiples of ", factor,
                    ", found ", images.size(2), " x ", images.size(3));
  return autoencoder().encode(to_signed(images).to(state_->options.device));
}

Tensor Pipeline::to_latents(const Posterior& posterior, const Tensor& noise) const {
  if (!state_->scaling) state_->vae();
  const Tensor sample = noise.defined() ? posterior.mean + (0.5 * posterior.logvar).exp() * noise.to(posterior.mean.device()) : posterior.mean;
  return sample * *state_->scaling;
}

Tensor Pipeline::decode(const Tensor& latents) {
  const torch::NoGradGuard no_grad;
  Autoencoder& model = autoencoder();
  // One large picture at a time, or a few small: at full size the decoder's activations are the memory peak of a run.
  const int64_t pixels = latents.size(2) * latents.size(3) * model.factor() * model.factor();
  const int64_t at_once = std::max<int64_t>(1, (int64_t{1} << 18) / pixels);
  std::vector<Tensor> pictures;
  for (const auto& part : (latents.to(state_->options.device, torch::kFloat32) / model.scaling_factor()).split(at_once)) {
    pictures.push_back((model.decode(part).to(torch::kFloat32) / 2 + 0.5).clamp(0, 1));
  }
  return torch::cat(pictures);
}

Tensor Pipeline::starting_noise(const GenerateRequest& request, const GenerateOptions& options) const {
  Denoiser& unet = state_->unet();
  int64_t height = unet.sample_size(), width = height;
  if (options.height > 0 || options.width > 0) {
    const int64_t factor = state_->vae().factor();
    const auto latent_side = [&](int64_t pixels, int64_t otherwise) {
      if (pixels == 0) return otherwise;
      check<UsageError>(pixels > 0 && pixels % factor == 0, "generating: height and width must be multiples of ", factor, ", found ", pixels);
      return pixels / factor;
    };
    height = latent_side(options.height, height);
    width = latent_side(options.width, width);
  }
  const Key key{.seed = options.seed, .sample = request.id, .draw = 0, .purpose = Purpose::latents};
  return Generator(key).normal({1, unet.latent_channels(), height, width});
}

}  // namespace palate
