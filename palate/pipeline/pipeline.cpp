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

constexpr int64_t prompts_at_once = 32;

Json read_scheduler(const ModelFolder& folder) { return read_json(folder.component("scheduler") / "scheduler_config.json"); }

}  // namespace

struct Pipeline::State {
  State(std::filesystem::path path, LoadOptions load) : folder(std::move(path)), options(std::move(load)), scheduler(read_scheduler(folder)), schedule(scheduler) {}

  ModelFolder folder;
  LoadOptions options;
  Json scheduler;
  NoiseSchedule schedule;
  std::unique_ptr<Denoiser> denoiser;
  std::unique_ptr<Autoencoder> autoencoder;
  std::unique_ptr<TextEncoder> text_encoder;
  std::optional<ClipTokenizer> tokenizer;
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

TextEncoder& Pipeline::text_encoder() {
  if (!state_->text_encoder) state_->text_encoder = load_text_encoder(state_->folder.component("text_encoder"), state_->options);
  return *state_->text_encoder;
}

const ClipTokenizer& Pipeline::tokenizer() {
  if (!state_->tokenizer) state_->tokenizer.emplace(state_->folder.component("tokenizer"));
  return *state_->tokenizer;
}

void Pipeline::release_encoders() {
  state_->autoencoder.reset();
  state_->text_encoder.reset();
}

std::string Pipeline::weights_hash(const std::string& component) {
  auto& known = state_->hashes[component];
  if (known.empty()) known = component_hash(state_->folder.component(component));
  return known;
}

Condition Pipeline::encode_prompts(const std::vector<std::string>& prompts) {
  const torch::NoGradGuard no_grad;
  check<UsageError>(!prompts.empty(), "encoding prompts: there are none");
  check<UsageError>(!state_->folder.has("text_encoder_2"), folder().string(), ": ", state_->folder.class_name(),
                    " has two text encoders, which this version cannot combine: use a model with one (SD1.x, SD2.x)");
  TextEncoder& encoder = text_encoder();
  const Json& config = encoder.config();
  const int64_t words = config.value("vocab_size", int64_t{49408});
  check<FormatError>(tokenizer().vocabulary_size() <= words, folder().string(), ": the tokenizer has ", tokenizer().vocabulary_size(),
                     " tokens, but the text encoder's vocab_size is ", words, ": they are not of one model");
  check<UsageError>(!config.value("use_attention_mask", false), folder().string(), ": a text encoder with use_attention_mask is not supported");
  const int64_t length = std::min(tokenizer().max_length(), encoder.max_length());
  std::vector<Tensor> states;
  for (size_t from = 0; from < prompts.size(); from += prompts_at_once) {
    const size_t to = std::min(prompts.size(), from + prompts_at_once);
    std::vector<int64_t> ids;
    for (size_t i = from; i < to; ++i) {
      const auto row = tokenizer().encode(prompts[i], length);
      ids.insert(ids.end(), row.begin(), row.end());
    }
    const Tensor batch = torch::tensor(ids, torch::kInt64).view({static_cast<int64_t>(to - from), length});
    states.push_back(encoder.encode(batch.to(state_->options.device)).last_hidden_state.to(state_->options.dtype));
  }
  Condition condition;
  condition.text = torch::cat(states);
  return condition;
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
