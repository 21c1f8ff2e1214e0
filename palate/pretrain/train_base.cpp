#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/diffusion/schedule.h"
#include "palate/hub/model_path.h"
#include "palate/pipeline/model_folder.h"
#include "palate/pretrain/base_data.h"
#include "palate/pretrain/stages.h"
#include "palate/pretrain/tokenizer_files.h"
#include "palate/text/clip_tokenizer.h"

namespace palate::world {
namespace fs = std::filesystem;
namespace {

// The few words of this world start nearer to each other's length than transformers' 0.02 would have them.
void spread_embeddings(torch::nn::Module& text, uint64_t seed) {
  const torch::NoGradGuard no_grad;
  constexpr double deviation = 0.05;
  for (const auto& entry : text.named_parameters()) {
    if (entry.key().find("embedding.weight") == std::string::npos) continue;
    Generator generator({seed, stable_hash(entry.key()), 0, Purpose::init});
    entry.value().copy_(generator.normal(entry.value().sizes().vec()) * deviation);
  }
}

// Weights of the same names and shapes.
void copy_weights(torch::nn::Module& to, torch::nn::Module& from, const fs::path& where) {
  const torch::NoGradGuard no_grad;
  const auto values = from.named_parameters();
  for (const auto& entry : to.named_parameters()) {
    const Tensor* value = values.find(entry.key());
    check<DataError>(value != nullptr && value->sizes() == entry.value().sizes(), where.string(), ": expected '", entry.key(),
                     "' of shape ", show_shape(entry.value().sizes()), " as this config has it, found ",
                     value == nullptr ? "none" : show_shape(value->sizes()));
    entry.value().copy_(*value);
  }
}

// The latents and ids of the training data.
class Codec {
 public:
  Codec(const fs::path& vae_folder, const fs::path& tokenizer_folder) : autoencoder_(load_autoencoder(vae_folder)) {
    write_tokenizer(tokenizer_folder);
    tokenizer_.emplace(tokenizer_folder);
  }

  Tensor latents(const Tensor& pictures) const {
    std::vector<Tensor> parts;
    for (const Tensor& part : pictures.split(64)) parts.push_back(autoencoder_->encode(part).mean * autoencoder_->scaling_factor());
    return torch::cat(parts);
  }

  Tensor ids(const std::vector<std::string>& captions) const {
    std::vector<int64_t> all;
    for (const auto& text : captions) {
      const auto row = tokenizer_->encode(text, token_count);
      all.insert(all.end(), row.begin(), row.end());
    }
    return torch::tensor(all, torch::kLong).view({static_cast<int64_t>(captions.size()), token_count});
  }

  int64_t latent_channels() const { return autoencoder_->latent_channels(); }
  ExampleCodec functions() const {
    return {[this](const Tensor& pictures) { return latents(pictures); },
            [this](const std::vector<std::string>& captions) { return ids(captions); }};
  }

 private:
  std::unique_ptr<Autoencoder> autoencoder_;
  std::optional<ClipTokenizer> tokenizer_;
};

// What one update is trained on; every draw is keyed by the example's number.
struct Draws {
  Tensor noise, t, dropped;  // [B, C, h, w], int64 [B], bool [B, 1]
};

Draws draw(uint64_t seed, int64_t first, int64_t count, const std::vector<int64_t>& shape, int64_t schedule_steps, double caption_dropout) {
  std::vector<Tensor> noise;
  std::vector<int64_t> t, dropped;
  for (int64_t i = first; i < first + count; ++i) {
    const auto sample = static_cast<uint64_t>(i);
    noise.push_back(Generator({seed, sample, 0, Purpose::noise}).normal(shape));
    t.push_back(Generator({seed, sample, 0, Purpose::timestep}).below(schedule_steps));
    dropped.push_back(Generator({seed, sample, 0, Purpose::caption_drop}).uniform() < caption_dropout ? 1 : 0);
  }
  return {torch::stack(noise), torch::tensor(t, torch::kLong), torch::tensor(dropped, torch::kLong).to(torch::kBool).unsqueeze(1)};
}

class BaseTask : public Task {
 public:
  BaseTask(const PretrainConfig& config, const fs::path& vae_folder, const fs::path& folder)
      : config_(config),
        seed_(static_cast<uint64_t>(config.seed)),
        vae_folder_(vae_folder),
        codec_(vae_folder, folder / "tokenizer"),
        nothing_(codec_.ids({""})),
        denoiser_(make_denoiser(config.unet.model(config.autoencoder, codec_.latent_channels(), config.text.width), mix(seed_, 4))),
        text_(make_text_encoder(config.text.model(), mix(seed_, 5))),
        schedule_(scheduler_config()),
        stream_(config.odds, mix(seed_, 7), codec_.functions()) {
    spread_embeddings(text_->module(), mix(seed_, 6));
    if (!config.init.empty()) {
      const fs::path from = model_path(config.init);
      copy_weights(denoiser_->module(), load_denoiser(from / unet_component)->module(), from / unet_component);
      copy_weights(text_->module(), load_text_encoder(from / "text_encoder")->module(), from / "text_encoder");
    }
    parameters_.add(concat(unet_component, "."), denoiser_->module());
    parameters_.add("text_encoder.", text_->module());
  }

  Parameters& parameters() override { return parameters_; }

  Pass pass(int64_t step, int64_t, double, const Ranks&) override {
    const int64_t batch = config_.fit.batch;
    const Examples examples = stream_.get(step * batch, batch);
    const Tensor& x0 = examples.pictures;
    const Draws draws = draw(mix(seed_, 8), step * batch, batch, x0[0].sizes().vec(), schedule_.steps(), config_.caption_dropout);
    const Tensor ids = torch::where(draws.dropped, nothing_, examples.ids);
    const Condition condition{{"encoder_hidden_states", text_->encode(ids).last_hidden_state}};
    const Tensor predicted = denoiser_->predict(schedule_.add_noise(x0, draws.noise, draws.t), draws.t, condition);
    const Tensor loss = (predicted - schedule_.target(x0, draws.noise, draws.t)).square().mean();
    return {.loss = loss};
  }

  void write(const fs::path& folder, const TrainState&) const override { write_base(folder / "base", *denoiser_, *text_, vae_folder_); }
  Metrics evaluate(const fs::path& folder) override { return evaluate_base(folder / "base", config_.evaluation, mix(seed_, 9)); }

 private:
  PretrainConfig config_;
  uint64_t seed_;
  fs::path vae_folder_;
  Codec codec_;
  Tensor nothing_;  // ids of the empty prompt
  std::unique_ptr<Denoiser> denoiser_;
  std::unique_ptr<TextEncoder> text_;
  NoiseSchedule schedule_;
  ExampleStream stream_;
  Parameters parameters_;
};

}  // namespace

TrainResult train_base(const PretrainConfig& config, const fs::path& vae_folder) {
  const fs::path folder = fs::path(config.output) / "denoiser";
  BaseTask task(config, vae_folder, folder);
  return run_stage(task, config.fit, "denoiser", folder, config.evaluation.every_minutes);
}

}  // namespace palate::world
