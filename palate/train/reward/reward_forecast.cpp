#include "palate/train/reward/reward_forecast.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/hub/model_path.h"
#include "palate/models/clip/clip_encoder.h"
#include "palate/models/clip/clip_model.h"
#include "palate/train/optimizer.h"

namespace palate {
namespace {

namespace fs = std::filesystem;

constexpr double program_room = 250e6;   // libtorch and the program
constexpr double product_share = 0.5;    // of the matrix rate that a tower's pass reaches
constexpr double activation_room = 1.2;  // what is kept besides the sums below

struct TowerCost {
  double flops = 0, saved = 0;  // of one row's forward pass; numbers kept for its backward pass
};

TowerCost tower_cost(const Json& config, const ClipTower& missing, int64_t tokens, const std::string& origin) {
  const ClipTower t = clip_tower(ConfigReader(config, origin), missing, origin);
  const auto width = static_cast<double>(t.width), inner = static_cast<double>(t.inner), layers = static_cast<double>(t.layers);
  const auto count = static_cast<double>(tokens);
  // A layer keeps two norms' inputs and outputs, q, k, v, what attention gives, and the inner values around the activation.
  return {.flops = layers * count * (2 * (4 * width * width + 2 * width * inner) + 4 * count * width),
          .saved = layers * count * (8 * width + 4 * inner)};
}

}  // namespace

Forecast forecast_reward(const RunConfig& config, double flop_seconds) {
  const fs::path file = (config.reward.from_scratch ? fs::path(config.model) : model_path(config.model)) / "config.json";
  const Json json = read_json(file);
  ClipModel model(json, file.string());  // memory that is never written takes none
  int64_t numbers = 0;
  for (const auto& parameter : model.module().parameters()) numbers += parameter.numel();
  const int64_t side = model.vision().image_size(), patch = std::max<int64_t>(1, json["vision_config"].value("patch_size", int64_t{32}));
  const TowerCost vision = tower_cost(json["vision_config"], {.width = 768, .inner = 3072, .layers = 12, .heads = 12},
                                      (side / patch) * (side / patch) + 1, file.string());
  const TowerCost text =
      tower_cost(json["text_config"], {.width = 512, .inner = 2048, .layers = 12, .heads = 8}, model.text().max_length(), file.string());
  int64_t pairs = open_pairs(config.data)->rows();
  if (config.data.max_pairs > 0) pairs = std::min(pairs, config.data.max_pairs);
  const auto batch = static_cast<double>(config.train.batch);
  Forecast it;
  it.weights_bytes = 4 * numbers;
  it.optimizer_bytes =
      4 * numbers * (config.train.ema > 0 ? 2 : 1) + optimizer_state_bytes(config.optimizer.name, numbers);  // with gradients
  it.activation_bytes = static_cast<int64_t>(4 * activation_room * batch * (2 * vision.saved + text.saved));
  it.cache_bytes = pairs * 2 * 3 * side * side;
  it.peak_bytes = static_cast<int64_t>(program_room) + it.weights_bytes + it.optimizer_bytes + it.activation_bytes;
  const double pass = 3 * batch * (2 * vision.flops + text.flops) * flop_seconds / product_share;
  it.seconds_per_step = pass * static_cast<double>(config.train.accumulation);
  it.seconds = it.seconds_per_step * static_cast<double>(config.train.steps);
  const int64_t limit = total_memory_bytes() / 100 * 95;
  if (config.device != "cpu" || it.peak_bytes <= limit) return it;
  const bool batch_helps = it.peak_bytes - it.activation_bytes + it.activation_bytes / config.train.batch <= limit;
  it.advice = concat("does not fit into ", std::round(static_cast<double>(limit) / 1e8) / 10, " GB",
                     batch_helps ? "; it would with train.batch = 1 and train.accumulation raised to match (the same result)"
                                 : ", nor would any change of settings help: a smaller model or another machine is needed");
  return it;
}

}  // namespace palate
