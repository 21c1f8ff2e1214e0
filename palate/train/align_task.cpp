#include "palate/train/align_task.h"

#include <torch/types.h>

#include <ATen/Parallel.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/hash.h"
#include "palate/core/log.h"
#include "palate/core/text.h"
#include "palate/data/cache/encoders.h"
#include "palate/hub/model_path.h"
#include "palate/io/atomic_file.h"
#include "palate/io/safetensors.h"
#include "palate/train/model_result.h"
#include "palate/train/sample_grid.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

uint64_t seed_of(const RunConfig& config) { return static_cast<uint64_t>(config.seed); }

// A picture with a thumb down is no example for a loss that asks for no thumbs.
std::vector<int64_t> rows_of(const PairCache& cache, Split split, const RunConfig& config) {
  const Needs needs = needs_of(config.objective);
  if (needs.labels || needs.rewards) return cache.rows(split);
  std::vector<int64_t> rows;
  for (const int64_t row : cache.rows(split)) {
    if (cache.label(row) >= 0) rows.push_back(row);
  }
  return rows;
}

PairOrder order_of(const PairCache& cache, const RunConfig& config) {
  const std::vector<int64_t> rows = rows_of(cache, Split::train, config);
  if (rows.size() < cache.rows(Split::train).size()) {
    log_info("data: ", cache.rows(Split::train).size() - rows.size(), " pictures with a thumb down are left out: the loss '",
             config.objective.loss, "' learns from good ones alone");
  }
  std::vector<PairOrder::Item> items;
  bool kinds[2] = {false, false};
  const bool labels = needs_of(config.objective).labels && !config.data.images.empty();
  for (const int64_t row : rows) {
    const bool second = labels ? cache.label(row) < 0 : cache.prior(row);
    items.push_back({row, cache.repeats(row), cache.bucket(row), second});
    kinds[second] = true;
  }
  check<DataError>(!labels || rows.empty() || (kinds[0] && kinds[1]),
                   "data.held_out: the pictures that are left to train on all have a thumb ", kinds[0] ? "up" : "down",
                   ": hold out fewer prompts, or none with data.held_out = 0");
  return PairOrder(items, config.train.batch, seed_of(config), labels ? config.data.positive_ratio : 0);
}

// As often as an epoch has each of them.
Tensor rewards_of(const PairCache& cache, const std::vector<int64_t>& rows) {
  std::vector<double> rewards;
  for (const int64_t row : rows) rewards.insert(rewards.end(), static_cast<size_t>(cache.repeats(row)), cache.reward(row));
  return torch::tensor(rewards, torch::kFloat64);
}

PairCache open_cache(Pipeline& pipeline, const RunConfig& config, PairSource& source, const fs::path& folder) {
  PairCache cache = PairCache::open(*pipeline_encoders(pipeline), config.data, source, folder, seed_of(config));
  pipeline.release_encoders();
  return cache;
}

}  // namespace

fs::path cache_folder(const RunConfig& config, const fs::path& run) {
  return config.data.cache.empty() ? run / "cache" : fs::path(config.data.cache);
}

AlignTask::AlignTask(const RunConfig& config, Pipeline& pipeline, PairSource& source, const fs::path& run)
    : config_(config),
      pipeline_(pipeline),
      run_(run),
      cache_(open_cache(pipeline, config, source, cache_folder(config, run))),
      batches_{.cache = cache_,
               .options = {.seed = seed_of(config), .caption_dropout = config.data.caption_dropout, .augment = true},
               .draws = reference_draws(config.objective),
               .device = parse_device(config.device),
               .dtype = parse_dtype(config.train.dtype)},
      order_(order_of(cache_, config)) {
  Denoiser& denoiser = pipeline.denoiser();
  denoiser.set_gradient_checkpointing(config.train.gradient_checkpointing);
  trainable_.emplace(config.full ? Trainable::whole(denoiser, parse_dtype(config.train.dtype))
                                 : Trainable::adapters(denoiser, config.lora, seed_of(config)));
  parameters_.add(trainable_->group());
  policy_.emplace(Policy{denoiser});
  log_info("training ", parameters_.count(), " numbers in ", parameters_.names().size(), " tensors",
           config.full ? " (the whole network)" : " (LoRA)");
  if (config.text.any()) open_text();
  const SpaceSetup space{.process = pipeline.noise_process(),
                         .network = &denoiser,
                         .frozen = config.full ? pipeline.denoiser_folder() : fs::path(),
                         .load = load_options(),
                         .gradient_checkpointing = config.train.gradient_checkpointing};
  aim_ = std::make_unique<Aim>(config, space);
  if (aim_->objective.needs().rewards) aim_->objective.set_rewards(rewards_of(cache_, cache_.rows(Split::train)));
  open_reference();
}

void AlignTask::open_text() {
  pipeline_.prompt_encoder().keep(true);
  text_.emplace(pipeline_.prompt_encoder(), config_.text, config_.lora, seed_of(config_));
  const auto uses_word = [&](int64_t row) { return lowered(cache_.prompt(row)).find(lowered(config_.text.word)) != std::string::npos; };
  const auto rows = rows_of(cache_, Split::train, config_);
  if (std::none_of(rows.begin(), rows.end(), uses_word)) {
    warn("text.word: no caption has ", config_.text.word, ", so it stays what it begins as: use it in captions, for example \"a photo of ",
         config_.text.word, "\"");
  }
  const Parameters::Group& group = text_->group();
  parameters_.add(group);
  policy_->encode = [this](const std::vector<std::string>& prompts) { return text_->condition(prompts); };
  int64_t count = 0;
  for (const auto& value : group.values) count += value.numel();
  log_info("training ", count, " numbers in ", group.names.size(), " tensors of the text encoders",
           config_.text.word.empty() ? "" : concat(", the word ", config_.text.word, " among them"));
}

LoadOptions AlignTask::load_options() const { return {.dtype = batches_.dtype, .device = batches_.device, .variant = config_.variant}; }

ReferenceRows AlignTask::reference_rows(const std::vector<int64_t>& rows, const BatchSource& source) const {
  const auto split = [this](const std::vector<int64_t>& some) { return cache_.batches(some, static_cast<int64_t>(some.size())); };
  std::vector<int64_t> by_bucket;
  for (const auto& part : split(rows)) by_bucket.insert(by_bucket.end(), part.begin(), part.end());
  const PairCache::Options& options = source.options;
  return {.rows = std::move(by_bucket),
          .seed = options.seed,
          .key = concat(cache_.key(), " caption_dropout=", options.caption_dropout, " augment=", options.augment ? 1 : 0),
          .batch = [source](const std::vector<int64_t>& some, uint64_t draw) { return source.batch(some, draw); },
          .split = split,
          .errors = [this, seed = options.seed](
                        Denoiser& network,
                        const Batch& batch) { return aim_->objective.errors(network, batch, aim_->objective.draw_fixed(batch, seed)); }};
}

void AlignTask::open_reference() {
  const uint64_t seed = seed_of(config_);
  const auto held_out = config_.train.validate_every > 0
                            ? Validation::choose(rows_of(cache_, Split::held_out, config_), config_.train.validation_pairs, seed)
                            : std::vector<int64_t>();
  BatchSource fixed = batches_;
  fixed.options = {.seed = mix(seed, stable_hash("held-out draws")), .caption_dropout = 0, .augment = false};
  if (aim_->objective.needs().reference) {
    ReferenceSetup setup;
    setup.policy = config_.full ? nullptr : &pipeline_.denoiser();
    setup.denoiser_folder = pipeline_.denoiser_folder();
    setup.load = load_options();
    setup.batch = config_.train.batch;
    if (batches_.draws > 0) {
      setup.parts.push_back(reference_rows(rows_of(cache_, Split::train, config_), batches_));
      if (!held_out.empty()) setup.parts.push_back(reference_rows(held_out, fixed));
      setup.folder = cache_folder(config_, run_);
      setup.weights_hash = pipeline_.weights_hash(pipeline_.denoiser_component());
      setup.noising_key = aim_->objective.noising_key();
    }
    aim_->objective.set_reference(make_reference(config_.objective, setup));
  }
  if (held_out.empty()) return;
  const int64_t draws = config_.train.validation_draws;
  validation_.emplace(fixed, held_out, batches_.draws > 0 ? std::min(draws, batches_.draws) : draws, config_.train.batch);
}

Batch AlignTask::next_batch(int64_t first) {
  const auto taken = order_.take(first, config_.train.batch);
  Batch batch = aim_->objective.seen(batches_.batch(taken.rows, taken.visits));
  std::vector<uint64_t> masks;  // one epoch's dropout is not the next one's, even where draws take turns
  for (const Visit& visit : batch.visits) masks.push_back(mix(visit.id, visit.visit));
  trainable_->set_dropout_draw(batches_.options.seed, masks);
  return batch;
}

// beta = "auto" is begun on what the first pass will see, before anything has moved.
void AlignTask::begin_scale() {
  if (!aim_->scale.is_automatic() || !aim_->scale.waits()) return;
  const torch::NoGradGuard no_grad;
  const Batch batch = next_batch(0);
  aim_->scale.begin(aim_->objective.measure(*policy_, batch, aim_->objective.draw(batch, batches_.options.seed)));
}

Pass AlignTask::pass(int64_t step, int64_t part, double, const Ranks& ranks) {
  begin_scale();
  const Batch batch = next_batch((step * config_.train.accumulation + part) * config_.train.batch);
  const ObjectiveOutput output = aim_->objective.evaluate(*policy_, batch, aim_->objective.draw(batch, batches_.options.seed), ranks);
  if (aim_->scale.waits()) aim_->scale.begin(output);
  aim_->scale.observe(step, output, ranks);
  return {.loss = output.loss, .losses = output.losses.detach(), .visits = batch.visits, .metrics = output.metrics};
}

void AlignTask::after_update(const Ranks& ranks) {
  if (text_) text_->keep_norms();
  aim_->objective.timesteps().end_step(ranks);
  aim_->scale.end_step();
}

void AlignTask::save(TensorMap& tensors) const {
  aim_->objective.timesteps().save(tensors);
  aim_->scale.save(tensors);
}

void AlignTask::load(const TensorMap& tensors) {
  aim_->objective.timesteps().load(tensors);
  aim_->scale.load(tensors);
}

Metrics AlignTask::validate() {
  begin_scale();
  return validation_ ? validation_->measure(aim_->objective, *policy_) : Metrics();
}

void AlignTask::read(const fs::path& folder) { trainable_->read(folder / pipeline_.denoiser_component()); }

void AlignTask::write(const fs::path& folder, const TrainState& state) const {
  if (config_.full) return trainable_->write(folder / pipeline_.denoiser_component());
  if (!text_) return trainable_->lora().save(folder, lora_metadata(config_, state));
  std::map<std::string, const Lora*> loras = text_->loras();
  loras[pipeline_.denoiser_component()] = &trainable_->lora();
  Lora::save(folder, loras, lora_metadata(config_, state));
  text_->save_word(folder);
}

Tensor AlignTask::sample(int64_t step) {
  if (config_.sample.prompts.empty()) return {};
  const torch::NoGradGuard no_grad;
  const Tensor grid = draw_samples(pipeline_, config_.sample, seed_of(config_), sample_folder(run_, step));
  pipeline_.release_encoders();
  return grid;
}

void AlignTask::finish(const fs::path& run, const TrainState& state, const Metrics& last) {
  write_run_result(run, config_, pipeline_,
                   {{"data_key", cache_.key()},
                    {"train_pairs", rows_of(cache_, Split::train, config_).size()},
                    {"held_out_pairs", cache_.rows(Split::held_out).size()},
                    {"trained_numbers", parameters_.count()}},
                   state, last);
}

std::string AlignTask::describe(const Visit& visit) const {
  const Visit pair = cache_.visits({visit.row}, {visit.visit}).at(0);  // a second picture that is judged alone has an id of its own
  return concat(aim_->objective.needs().labels && config_.data.images.empty() ? concat("picture ", visit.view + 1, " of ") : "", "pair ",
                Task::describe(pair), " (row ", visit.row, ", \"", cache_.prompt(visit.row), "\")");
}

void AlignTask::annotate(Metrics& line, const TrainState& state) const {
  if (aim_->scale.is_automatic()) line["beta"] = aim_->scale.beta();
  line["epoch"] = order_.epochs(state.step * config_.train.batch * config_.train.accumulation);
}

}  // namespace palate
