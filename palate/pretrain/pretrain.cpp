#include "palate/pretrain/pretrain.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <numbers>
#include <sstream>

#include "palate/config/config.h"
#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/io/atomic_file.h"
#include "palate/pretrain/stages.h"
#include "palate/train/optimizers/constants.h"

namespace palate::world {
namespace fs = std::filesystem;
namespace {

std::string readme(const PretrainConfig& config, const TrainResult& trained) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(3);
  out << "# A small text-to-image model of the embedded world\n\n"
      << "32x32 pictures of one or two coloured shapes, from captions such as \"a big red circle left of a small blue ring on a white\n"
      << "background\". Made by `palate pretrain` from nothing but rendered pictures; diffusers and transformers load it.\n"
      << "Trained for " << trained.steps << " steps of " << config.fit.batch << " pictures (" << std::setprecision(0)
      << trained.seconds / 60 << " minutes), seed " << config.seed << ".\n\n"
      << std::setprecision(3) << "The oracle on " << config.evaluation.single << " prompts with one object and " << config.evaluation.two
      << " with two, none of them seen in training, " << config.evaluation.pictures << " pictures of each, " << config.evaluation.steps
      << " DDIM steps, guidance " << std::setprecision(1) << config.evaluation.guidance_scale << ":\n\n| measure | value |\n| --- | --- |\n"
      << std::setprecision(3);
  for (const auto& [name, value] : trained.evaluation) out << "| " << name << " | " << value << " |\n";
  PretrainConfig shown = config;
  shown.output = "runs/base";  // not a path of the machine that it was made on
  out << "\nThe whole configuration:\n\n```toml\n" << config_to_toml([&](Fields& f) { shown.visit(f); }) << "```\n";
  return out.str();
}

// The finished model takes the place of an earlier one of this run.
void publish(const fs::path& from, const fs::path& to) {
  fs::remove_all(to);
  AtomicFolder folder(to);
  fs::copy(from, folder.work(), fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  folder.commit();
}

double rate(const FitConfig& config, int64_t step, double progress) {
  const double warm = config.warmup_steps > 0 ? std::min(1.0, static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps)) : 1;
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * std::min(progress, 1.0)));
  return config.lr * warm * (config.final_lr + (1 - config.final_lr) * cosine);
}

}  // namespace

TrainResult run_stage(Task& task, const FitConfig& config, const std::string& title, const fs::path& folder, double evaluate_minutes) {
  constexpr int64_t kept_checkpoints = 2;
  fs::create_directories(folder);
  LoopConfig loop;
  loop.title = title;
  loop.resume = "latest";
  loop.how_to_go_on = "the same command with --resume goes on from there";
  loop.steps = config.steps;
  loop.minutes = config.minutes;
  loop.optimizer.constants =
      Constants(AdamWConfig{.beta1 = config.beta1, .beta2 = config.beta2, .eps = 1e-8, .weight_decay = config.weight_decay});
  loop.optimizer.clip_norm = config.clip_norm;
  loop.ema = config.ema;
  loop.rate = [&config](const Parameters::Group&, int64_t step, double progress) { return rate(config, step, progress); };
  loop.log_every = config.log_every;
  loop.examples = config.batch;
  loop.speed = "pictures_per_second";
  loop.checkpoint_minutes = config.checkpoint_minutes;
  loop.keep_checkpoints = kept_checkpoints;
  loop.evaluate_minutes = evaluate_minutes;
  return run_loop(task, loop, folder);
}

PretrainResult pretrain(const PretrainConfig& config, RunStart start) {
  for (const auto& [key, folder] : {std::pair{"init", config.init}, std::pair{"autoencoder.folder", config.autoencoder.folder}}) {
    check<UsageError>(folder.empty() || fs::is_directory(folder), key, ": ", folder, ": there is no such folder");
  }
  const RunFolder run(config.output, start);
  PretrainConfig copy = config;
  write_file(run.path() / "config.resolved.toml", config_to_toml([&](Fields& f) { copy.visit(f); }));
  fs::path vae = config.autoencoder.folder;
  if (vae.empty()) {
    log_info("1/2 autoencoder");
    const TrainResult trained = train_autoencoder(config);
    if (trained.interrupted) return {true, {}, {}};
    vae = trained.folder / "vae";
  }
  log_info("2/2 denoiser and text encoder");
  const TrainResult trained = train_base(config, vae);
  const fs::path base = run.path() / "base";
  if (trained.interrupted) return {true, {}, {}};
  publish(trained.folder / "base", base);
  write_file(base / "README.md", readme(config, trained));
  return {false, base, trained.evaluation};
}

}  // namespace palate::world
