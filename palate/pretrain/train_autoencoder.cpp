#include <torch/nn/module.h>
#include <torch/types.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/core/generator.h"
#include "palate/pretrain/base_data.h"
#include "palate/pretrain/stages.h"
#include "palate/world/oracle.h"

namespace palate::world {
namespace fs = std::filesystem;
namespace {

// Differences of vertical and of horizontal neighbours: edges count more than flat ground, so that they stay sharp.
Tensor edge_error(const Tensor& error) { return error.diff(1, 2).square().mean() + error.diff(1, 3).square().mean(); }

// Squared error finds the way where mean absolute error alone stays on a plateau for minutes; absolute error comes in slowly.
Tensor reconstruction_loss(const Tensor& error, double progress) {
  return 5 * error.square().mean() + 5 * edge_error(error) + 0.5 * (0.1 + 0.9 * progress) * error.abs().mean();
}

Tensor divergence(const Posterior& p) { return 0.5 * (p.mean.square() + p.logvar.exp() - 1 - p.logvar).sum({1, 2, 3}).mean(); }

// Nearly deterministic from the start. Whether that helps was not measured on its own.
void quiet_posterior(torch::nn::Module& module, int64_t latent_channels) {
  const torch::NoGradGuard no_grad;
  auto parameters = module.named_parameters();
  parameters["quant_conv.weight"].narrow(0, latent_channels, latent_channels).zero_();
  parameters["quant_conv.bias"].narrow(0, latent_channels, latent_channels).fill_(-8);
}

double latent_scale(Autoencoder& model, const Odds& odds, uint64_t seed) {
  const torch::NoGradGuard no_grad;
  ExampleStream stream(odds, mix(seed, 2), {});
  std::vector<Tensor> latents;
  for (int64_t i = 0; i < 8; ++i) latents.push_back(model.encode(stream.get(i * 64, 64).pictures).mean);
  return 1 / torch::cat(latents).std().item<double>();
}

std::map<std::string, double> reconstruction_quality(Autoencoder& model, const CleanPictures& clean) {
  const torch::NoGradGuard no_grad;
  const Tensor decoded = model.decode(model.encode(clean.pictures * 2 - 1).mean).div(2).add(0.5).clamp(0, 1);
  std::map<std::string, double> sums;
  for (size_t i = 0; i < clean.scenes.size(); ++i) {
    const Verdict v = verdict(clean.scenes[i], decoded[static_cast<int64_t>(i)]);
    const Verdict original = verdict(clean.scenes[i], clean.pictures[static_cast<int64_t>(i)]);
    sums["strict"] += v.strict;
    sums["acc"] += v.acc;
    sums["appeal"] += v.appeal;
    sums["original_strict"] += original.strict;
    sums["original_appeal"] += original.appeal;
  }
  for (auto& [name, value] : sums) value /= static_cast<double>(clean.scenes.size());
  sums["psnr"] = -10 * std::log10((decoded - clean.pictures).square().mean().item<double>());
  return sums;
}

class AutoencoderTask : public Task {
 public:
  explicit AutoencoderTask(const PretrainConfig& config)
      : config_(config.autoencoder),
        seed_(static_cast<uint64_t>(config.seed)),
        model_(make_autoencoder(config_.model(), mix(seed_, 1))),
        odds_(without_wrong_captions(config.odds)),
        stream_(odds_, seed_, {}),
        clean_(clean_pictures(config.evaluation.reconstructions, mix(seed_, 3))) {
    quiet_posterior(model_->module(), config_.latent_channels);
    parameters_.add("", model_->module());
  }

  Parameters& parameters() override { return parameters_; }

  Pass pass(int64_t step, int64_t, double progress, const Ranks&) override {
    const int64_t batch = config_.fit.batch, latent_side = side / config_.factor();
    const Tensor pictures = stream_.get(step * batch, batch).pictures;
    const Posterior posterior = model_->encode(pictures);
    Generator generator({seed_, static_cast<uint64_t>(step), 0, Purpose::posterior});
    const Tensor noise = generator.normal({batch, config_.latent_channels, latent_side, latent_side});
    const Tensor decoded = model_->decode(posterior.mean + torch::exp(0.5 * posterior.logvar) * noise);
    const Tensor loss = reconstruction_loss(decoded - pictures, progress) + 1e-6 * divergence(posterior);
    return {.loss = loss};
  }

  void write(const fs::path& folder, const TrainState&) const override {
    save_autoencoder(*model_, folder / "vae");
    Json json = read_json(folder / "vae" / "config.json");
    json["scaling_factor"] = latent_scale(*load_autoencoder(folder / "vae"), odds_, seed_);
    write_json(folder / "vae" / "config.json", json);
  }

  Metrics evaluate(const fs::path& folder) override { return reconstruction_quality(*load_autoencoder(folder / "vae"), clean_); }

 private:
  static Odds without_wrong_captions(Odds odds) {
    odds.wrong_caption = 0;
    return odds;
  }

  AutoencoderConfig config_;
  uint64_t seed_;
  std::unique_ptr<Autoencoder> model_;
  Odds odds_;
  ExampleStream stream_;
  CleanPictures clean_;
  Parameters parameters_;
};

}  // namespace

TrainResult train_autoencoder(const PretrainConfig& config) {
  AutoencoderTask task(config);
  return run_stage(task, config.autoencoder.fit, "autoencoder", fs::path(config.output) / "autoencoder", 0);
}

}  // namespace palate::world
