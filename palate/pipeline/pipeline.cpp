#include "palate/pipeline/pipeline.h"

#include <torch/types.h>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/core/memory.h"
#include "palate/io/image.h"
#include "palate/models/unet/sample_size.h"
#include "palate/models/vae/factor.h"
#include "palate/pipeline/model_folder.h"
#include "palate/pipeline/pipeline_class.h"
#include "palate/pipeline/tiling.h"

namespace palate {
namespace {

Json read_scheduler(const ModelFolder& folder) { return read_json(folder.component("scheduler") / "scheduler_config.json"); }

}  // namespace

struct Pipeline::State {
  State(std::filesystem::path path, LoadOptions load)
      : folder(std::move(path)),
        options(std::move(load)),
        kind(pipeline_class(folder)),
        prompts(folder, kind, options),
        denoiser_folder(folder.component(folder.denoiser_component())),
        denoiser_config(read_json(denoiser_folder / "config.json")),
        scheduler(read_scheduler(folder)),
        noise(make_noise_process(scheduler)) {
    const std::string refiner = refiner_sentence(folder);
    check<UsageError>(refiner.empty(), refiner);
  }

  ModelFolder folder;
  LoadOptions options;
  const PipelineClass& kind;
  PromptEncoder prompts;
  std::filesystem::path denoiser_folder;
  Json denoiser_config, scheduler;
  std::unique_ptr<NoiseProcess> noise;
  std::unique_ptr<Denoiser> denoiser;
  std::unique_ptr<Autoencoder> autoencoder;
  std::optional<double> scaling;  // outlives the autoencoder
  std::optional<int64_t> factor;
  std::map<std::string, std::string> hashes;
  bool tiling = false;

  Posterior encode(const Tensor& pixels);
  Tensor decode(const Tensor& latents);

  // Sides of a tile in pixels and in latents.
  int64_t tile_pixels() { return vae().config().value("sample_size", int64_t{512}); }
  int64_t tile_latents() { return tile_pixels() / vae().factor(); }

  Denoiser& network() {
    if (!denoiser) denoiser = load_denoiser(denoiser_folder, options);
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

Posterior Pipeline::State::encode(const Tensor& pixels) {
  if (!tiling) return vae().encode(pixels);
  const Tiling tiles{.tile = tile_pixels(), .out_tile = tile_latents()};
  const auto halves = in_tiles(pixels, tiles, [&](const Tensor& tile) {
                        const Posterior one = vae().encode(tile);
                        return torch::cat({one.mean, one.logvar}, 1);
                      }).chunk(2, 1);
  return {halves[0], halves[1]};
}

Tensor Pipeline::State::decode(const Tensor& latents) {
  if (!tiling) return vae().decode(latents);
  return in_tiles(latents, {.tile = tile_latents(), .out_tile = tile_pixels()}, [&](const Tensor& tile) { return vae().decode(tile); });
}

int64_t pictures_at_once(int64_t pixels) { return std::max<int64_t>(1, (int64_t{1} << 18) / pixels); }

Pipeline::Pipeline(std::filesystem::path folder, LoadOptions options)
    : state_(std::make_unique<State>(std::move(folder), std::move(options))) {}
Pipeline::~Pipeline() = default;

const std::filesystem::path& Pipeline::folder() const { return state_->folder.path(); }
const std::string& Pipeline::denoiser_component() const { return state_->folder.denoiser_component(); }
std::filesystem::path Pipeline::denoiser_folder() const { return state_->denoiser_folder; }
const Json& Pipeline::denoiser_config() const { return state_->denoiser_config; }
c10::ScalarType Pipeline::dtype() const { return state_->options.dtype; }
const Json& Pipeline::scheduler_config() const { return state_->scheduler; }
const NoiseProcess& Pipeline::noise_process() const { return *state_->noise; }
const NoiseSchedule& Pipeline::schedule() const {
  const auto* table = dynamic_cast<const NoiseSchedule*>(state_->noise.get());
  check<UsageError>(table != nullptr, folder().string(), ": the noise of this model is a rectified flow, where a table of betas is needed");
  return *table;
}

Denoiser& Pipeline::denoiser() { return state_->network(); }
Autoencoder& Pipeline::autoencoder() { return state_->vae(); }

PromptEncoder& Pipeline::prompt_encoder() { return state_->prompts; }

void Pipeline::set_tiling(bool on) { state_->tiling = on; }

void Pipeline::release_encoders() {
  state_->autoencoder.reset();
  state_->prompts.release();
  give_back_memory();
}

std::string Pipeline::weights_hash(const std::string& component) {
  auto& known = state_->hashes[component];
  if (known.empty()) known = component_hash(state_->folder.component(component));
  return known;
}

Condition Pipeline::encode_prompts(const std::vector<std::string>& prompts, int64_t text_rows) {
  return state_->prompts.encode(prompts, text_rows);
}

Condition Pipeline::encode_nothing(int64_t rows, int64_t text_rows) {
  const Condition empty = state_->prompts.encode(std::vector<std::string>(static_cast<size_t>(rows)), text_rows);
  const bool zeros = state_->kind.zeros_for_no_prompt && state_->folder.option("force_zeros_for_empty_prompt", true);
  return zeros ? empty.zeros() : empty;
}

bool Pipeline::takes_time_ids() const { return state_->denoiser_config.value("addition_embed_type", Json()) == "text_time"; }

int64_t Pipeline::sample_size() const {
  return unet_sample_size(state_->denoiser_config, (state_->denoiser_folder / "config.json").string());
}

int64_t Pipeline::latent_channels() const { return state_->denoiser_config.value("out_channels", int64_t{4}); }
int64_t Pipeline::extra_channels() const { return state_->denoiser_config.value("in_channels", int64_t{4}) - latent_channels(); }
bool Pipeline::takes_mask() const { return extra_channels() == 1 + latent_channels(); }

int64_t Pipeline::factor() const {
  if (!state_->factor) {
    const std::filesystem::path config = state_->folder.component("vae") / "config.json";
    state_->factor = vae_factor(read_json(config), config.string());
  }
  return *state_->factor;
}

Tensor Pipeline::time_ids(const Tensor& latents) {
  const int64_t height = latents.size(-2) * factor(), width = latents.size(-1) * factor();
  return time_ids({height, width, 0, 0, height, width}).expand({latents.size(0), 6});
}

Tensor Pipeline::time_ids(const MicroConditioning& micro) const {
  return torch::tensor(
             {micro.original_height, micro.original_width, micro.crop_top, micro.crop_left, micro.target_height, micro.target_width},
             torch::kFloat32)
      .view({1, 6});
}

Posterior Pipeline::encode_images(const Tensor& images, const Tensor& keep) {
  const torch::NoGradGuard no_grad;
  check(images.dim() == 4 && images.size(1) == 3 && images.scalar_type() == torch::kUInt8,
        "encoding images: expected uint8 [B, 3, H, W], found ", images.toString(), " ", show_shape(images.sizes()));
  const int64_t factor = this->factor();
  check<UsageError>(images.size(2) % factor == 0 && images.size(3) % factor == 0, "encoding images: height and width must be multiples of ",
                    factor, ", found ", images.size(2), " x ", images.size(3));
  std::vector<Tensor> means, logvars;
  for (const auto& part : images.split(pictures_at_once(images.size(2) * images.size(3)))) {
    const Tensor pixels = to_signed(part);
    const Posterior one = state_->encode((keep.defined() ? pixels * keep : pixels).to(state_->options.device));
    means.push_back(one.mean);
    logvars.push_back(one.logvar);
  }
  return {torch::cat(means), torch::cat(logvars)};
}

Tensor Pipeline::to_latents(const Posterior& posterior, const Tensor& noise) const {
  if (!state_->scaling) state_->vae();
  const Tensor sample =
      noise.defined() ? posterior.mean + (0.5 * posterior.logvar).exp() * noise.to(posterior.mean.device()) : posterior.mean;
  return sample * *state_->scaling;
}

Tensor Pipeline::decode(const Tensor& latents) {
  const torch::NoGradGuard no_grad;
  Autoencoder& model = autoencoder();
  const int64_t at_once = pictures_at_once(latents.size(-2) * latents.size(-1) * model.factor() * model.factor());
  std::vector<Tensor> pictures;
  for (const auto& part : (latents.to(state_->options.device, torch::kFloat32) / model.scaling_factor()).split(at_once)) {
    pictures.push_back((state_->decode(part).to(torch::kFloat32) / 2 + 0.5).clamp(0, 1));
  }
  return torch::cat(pictures);
}

Tensor Pipeline::starting_noise(const GenerateRequest& request, const GenerateOptions& options) const {
  int64_t height = state_->network().sample_size(), width = height;
  if (options.height > 0 || options.width > 0) {
    const int64_t factor = this->factor();
    const auto latent_side = [&](int64_t pixels, int64_t otherwise) {
      if (pixels == 0) return otherwise;
      check<UsageError>(pixels > 0 && pixels % factor == 0, "generating: height and width must be multiples of ", factor, ", found ",
                        pixels);
      return pixels / factor;
    };
    height = latent_side(options.height, height);
    width = latent_side(options.width, width);
  }
  const Key key{.seed = options.seed, .sample = request.id, .draw = 0, .purpose = Purpose::latents};
  return Generator(key).normal({1, latent_channels(), height, width});
}

}  // namespace palate
