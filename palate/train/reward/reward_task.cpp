#include "palate/train/reward/reward_task.h"

#include <ATen/Parallel.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/core/log.h"
#include "palate/io/json.h"
#include "palate/pipeline/model_folder.h"
#include "palate/train/validation.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

constexpr const char* result_folder = "model";

PixelCache open_pixels(const ClipScorer& model, const RunConfig& config, PairSource& source, const fs::path& run) {
  const ClipImageProcessor& images = model.images();
  const PixelFit fit{.fit = [&images](const Tensor& picture) { return images.fit(picture); }, .identity = images.identity()};
  const fs::path folder = config.data.cache.empty() ? run / "cache" : fs::path(config.data.cache);
  return PixelCache::open(fit, config.data, source, folder, static_cast<uint64_t>(config.seed));
}

PairOrder reward_order(const PixelCache& cache, const RunConfig& config) {
  std::vector<PairOrder::Item> items;
  for (const int64_t row : cache.rows(Split::train)) items.push_back({row, cache.row(row).repeats, 0});
  return PairOrder(items, config.train.batch, static_cast<uint64_t>(config.seed));
}

}  // namespace

ClipScorer open_reward_model(const RunConfig& config) {
  const c10::Device device = parse_device(config.device);
  if (!config.reward.from_scratch) {
    check<UsageError>(config.reward.tokenizer.empty(), "reward.tokenizer: is for a model from scratch; ", config.model,
                      " has one of its own");
    return ClipScorer(config.model, {.dtype = torch::kFloat, .device = device, .variant = config.variant, .will_train = true});
  }
  ClipScorer model = ClipScorer::fresh(config.model, config.reward.tokenizer, static_cast<uint64_t>(config.seed));
  model.model().module().to(device);
  return model;
}

RewardTask::RewardTask(const RunConfig& config, ClipScorer model, PairSource& source, const fs::path& run)
    : config_(config),
      model_(std::move(model)),
      cache_(open_pixels(model_, config, source, run)),
      order_(reward_order(cache_, config)),
      held_out_(config.train.validate_every > 0
                    ? Validation::choose(cache_.rows(Split::held_out), config.train.validation_pairs, static_cast<uint64_t>(config.seed))
                    : std::vector<int64_t>()) {
  for (const int64_t row : cache_.rows(Split::train)) ++pairs_of_[cache_.row(row).prompt];
  parameters_.add("", model_.model().module());
  log_info("training ", parameters_.count(), " numbers in ", parameters_.names().size(), " tensors (a CLIPModel",
           config.reward.from_scratch ? " from scratch)" : ")");
}

RewardTask::Scored RewardTask::score(const PixelBatch& batch) {
  const Tensor scores = model_.scores(batch.pictures, model_.ids(batch.prompts));
  const auto sides = scores.chunk(2);
  const Tensor label = batch.label.to(scores.device());
  return {sides[0], sides[1], label, bradley_terry(config_.reward.loss, sides[0], sides[1], label)};
}

double RewardTask::Scored::accuracy() const {
  const torch::NoGradGuard no_grad;
  const Tensor d = first - second;
  return (label * d.gt(0) + (1 - label) * d.lt(0) + 0.5 * d.eq(0)).mean().item<double>();
}

Tensor RewardTask::weights(const std::vector<Visit>& visits) const {
  std::vector<float> weights;
  for (const Visit& visit : visits)
    weights.push_back(config_.reward.even_prompts ? 1.0f / static_cast<float>(pairs_of_.at(cache_.row(visit.row).prompt)) : 1.0f);
  const Tensor all = torch::tensor(weights);
  return all / all.sum();
}

Pass RewardTask::pass(int64_t step, int64_t part, double, const Ranks&) {
  const auto taken = order_.take((step * config_.train.accumulation + part) * config_.train.batch, config_.train.batch);
  const PixelBatch batch = cache_.batch(taken.rows, taken.visits);
  const Scored scored = score(batch);
  const Tensor loss = (scored.losses * weights(batch.visits).to(scored.losses.device())).sum();
  Metrics metrics = {{"accuracy", scored.accuracy()},
                     {"margin", (scored.first - scored.second).mean().item<double>()},
                     {"scale", model_.model().scale().item<double>()}};
  return {.loss = loss, .losses = scored.losses.detach(), .visits = batch.visits, .metrics = std::move(metrics)};
}

Metrics RewardTask::validate() {
  if (held_out_.empty()) return {};
  const torch::NoGradGuard no_grad;
  double loss = 0, accuracy = 0, margin = 0;
  const auto at_once = static_cast<size_t>(config_.train.batch);
  for (size_t begin = 0; begin < held_out_.size(); begin += at_once) {
    const std::vector<int64_t> rows(held_out_.begin() + static_cast<int64_t>(begin),
                                    held_out_.begin() + static_cast<int64_t>(std::min(begin + at_once, held_out_.size())));
    const Scored scored = score(cache_.batch(rows, std::vector<uint64_t>(rows.size(), 0)));
    const auto count = static_cast<double>(rows.size());
    loss += scored.losses.to(torch::kFloat64).sum().item<double>();
    accuracy += scored.accuracy() * count;
    margin += (scored.first - scored.second).to(torch::kFloat64).sum().item<double>();
  }
  const auto total = static_cast<double>(held_out_.size());
  return {{"held_out/loss", loss / total}, {"held_out/accuracy", accuracy / total}, {"held_out/margin", margin / total}};
}

void RewardTask::write(const fs::path& folder, const TrainState&) const { model_.save(folder / result_folder); }

void RewardTask::read(const fs::path& folder) { model_.read_weights(folder / result_folder); }

void RewardTask::finish(const fs::path& run, const TrainState& state, const Metrics& last) {
  const fs::path result = run / result_folder;
  Json json = {{"model", config_.model},
               {"result", result_folder},
               {"result_sha256", sha256_file(result / "model.safetensors")},
               {"data_key", cache_.key()},
               {"train_pairs", cache_.rows(Split::train).size()},
               {"held_out_pairs", cache_.rows(Split::held_out).size()},
               {"trained_numbers", parameters_.count()},
               {"steps", state.step},
               {"best_step", state.best_step},
               {"seconds", state.seconds},
               {"threads", at::get_num_threads()},
               {"metrics", Json::object()}};
  for (const auto& [name, value] : last) json["metrics"][name] = value;
  write_json(run / "run.json", json);
  log_info("done: a judge, clip:", result.string());
}

std::string RewardTask::describe(const Visit& visit) const {
  return concat("pair ", Task::describe(visit), " (", cache_.row(visit.row).origin, ", \"", cache_.row(visit.row).prompt, "\")");
}

void RewardTask::annotate(Metrics& line, const TrainState& state) const {
  line["epoch"] = order_.epochs(state.step * config_.train.batch * config_.train.accumulation);
}

}  // namespace palate
