#include "palate/train/rollout/rollout_task.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <algorithm>

#include "palate/core/clock.h"
#include "palate/core/device.h"
#include "palate/core/error.h"
#include "palate/core/log.h"
#include "palate/train/model_result.h"
#include "palate/train/rollout/prompts.h"
#include "palate/train/sample_grid.h"

namespace palate {
namespace fs = std::filesystem;
namespace {

int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

std::vector<double> numbers_of(const Tensor& values) {
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

}  // namespace

struct RolloutTask::Method {
  Method(Pipeline& pipeline, const RunConfig& config)
      : step(pipeline.noise_process(), pipeline.scheduler_config(), config.rollout.guidance_scale, config.rollout.eta) {}

  GaussianStep step;
  std::optional<Snapshot> snapshot;
  std::optional<StepObjective> steps;  // one of these two
  std::optional<Objective> pairs;
  std::unique_ptr<Lesson> lesson;
  std::optional<PromptStates> states;
  std::optional<RolloutSampler> sampler;
};

struct RolloutTask::Epoch {
  Rollouts rollouts;
  Metrics rewards;        // of the epoch, for every line
  double per_second = 0;  // pictures, while it was sampled; 0: it was not sampled by this process
  int64_t step = -1;      // of the optimizer: the last one that a pass was made for
  int64_t planned = -1;   // the step that `rows` are of
  std::vector<LessonRow> rows;
};

RolloutSources open_rollout_sources(const RunConfig& config, Pipeline& pipeline) {
  RolloutSources sources{read_rollout_prompts(config.rollout.prompts), make_judge(config.rollout.judge)};
  pipeline.schedule();  // a table of betas
  const int64_t side = pipeline.sample_size() * pipeline.factor();
  sources.judge->require(side, side, sources.prompts);
  return sources;
}

RolloutTask::RolloutTask(const RunConfig& config, Pipeline& pipeline, RolloutSources sources, const fs::path& run)
    : config_(config),
      pipeline_(pipeline),
      run_(run),
      sources_(std::move(sources)),
      statistics_(config.rollout.buffer, config.rollout.min_count),
      epoch_(std::make_shared<Epoch>()) {
  Denoiser& denoiser = pipeline.denoiser();
  denoiser.set_gradient_checkpointing(config.train.gradient_checkpointing);
  const auto seed = static_cast<uint64_t>(config.seed);
  trainable_.emplace(config.full ? Trainable::whole(denoiser, parse_dtype(config.train.dtype))
                                 : Trainable::adapters(denoiser, config.lora, seed));
  parameters_.add(trainable_->group());
  policy_.emplace(Policy{denoiser});
  open_method();
  log_info("training ", parameters_.count(), " numbers in ", parameters_.names().size(), " tensors on ", config.rollout.samples(),
           " pictures an epoch, of ", sources_.prompts.size(), sources_.prompts.size() == 1 ? " prompt" : " prompts", ", judged by ",
           sources_.judge->name(), "; an epoch is ", config.rollout.steps_per_epoch(), " steps of ", passes_,
           passes_ == 1 ? " pass" : " passes");
}

void RolloutTask::open_method() {
  method_ = std::make_shared<Method>(pipeline_, config_);
  Method& it = *method_;
  const bool on_steps = is_step_loss(config_.objective.loss);
  const LoadOptions load{.dtype = parse_dtype(config_.train.dtype), .device = parse_device(config_.device), .variant = config_.variant};
  ReferenceSetup setup;
  setup.policy = config_.full ? nullptr : &pipeline_.denoiser();
  setup.denoiser_folder = pipeline_.denoiser_folder();
  setup.load = load;
  if (needs_of(config_.objective).reference && config_.objective.reference == "snapshot") {
    const Parameters::Group& group = parameters_.groups()[0];
    it.snapshot.emplace(group.held.empty() ? group.values : group.held);
    setup.snapshot = &*it.snapshot;
  }
  if (on_steps) {
    it.steps.emplace(config_.objective, it.step);
    if (it.steps->needs().reference) it.steps->set_reference(make_reference(config_.objective, setup));
    it.lesson = make_step_lesson(config_, it.step, *it.steps);
  } else {
    it.pairs.emplace(config_.objective, SpaceSetup{.process = pipeline_.noise_process(),
                                                   .network = &pipeline_.denoiser(),
                                                   .frozen = config_.full ? pipeline_.denoiser_folder() : fs::path(),
                                                   .load = load});
    if (it.pairs->needs().reference) it.pairs->set_reference(make_reference(config_.objective, setup));
    it.lesson = make_pair_lesson(config_, *it.pairs);
  }
  it.states.emplace(pipeline_, sources_.prompts, it.step.guided());
  it.sampler.emplace(pipeline_, config_.rollout, it.step, *sources_.judge, it.lesson->keeps(), static_cast<uint64_t>(config_.seed));
  passes_ = divided_up(most_lesson_rows(config_), config_.train.batch);
}

std::vector<double> RolloutTask::advantages(const Rollouts& rollouts) {
  const std::vector<double> rewards = numbers_of(rollouts.rewards);
  std::string how = config_.rollout.advantage;
  if (how.empty()) how = method_->steps && method_->steps->needs().groups ? "group" : "prompt";
  if (how == "group") return group_advantages(rollouts.prompts, rewards, config_.rollout.global_std);
  if (how == "batch") return batch_advantages(rewards);
  return statistics_.advantages(rollouts.prompts, rewards);
}

// The numbers that an epoch's pictures have, for every line of the log.
static Metrics reward_metrics(const Rollouts& rollouts) {
  const std::vector<double> rewards = numbers_of(rollouts.rewards);
  const Moments moments = moments_of(rewards);
  const auto same = alike(rollouts.prompts, rewards);
  const auto count = std::count_if(same.begin(), same.end(), [](const auto& entry) { return entry.second; });
  return {{"reward_mean", moments.mean},
          {"reward_std", moments.std},
          {"zero_std", static_cast<double>(count) / static_cast<double>(same.size())}};
}

void RolloutTask::begin_epoch(int64_t epoch) {
  Method& it = *method_;
  const bool renew = it.snapshot && config_.rollout.refresh > 0 && epoch > 0 && epoch % config_.rollout.refresh == 0;
  if (renew) it.snapshot->take();
  const auto began = Clock::now();
  const auto drawn = drawn_prompts(static_cast<int64_t>(sources_.prompts.size()), config_.rollout.prompts_per_epoch,
                                   static_cast<uint64_t>(config_.seed), epoch);
  Rollouts made = it.sampler->sample(epoch, drawn, *it.states);
  made.advantages = torch::tensor(advantages(made), torch::kFloat64);
  epoch_->per_second = static_cast<double>(made.count()) / std::max(1e-9, seconds_since(began));
  epoch_->rewards = reward_metrics(made);
  epoch_->rollouts = std::move(made);
  epoch_->planned = -1;
  log_detail(concat("epoch ", epoch + 1, ": mean reward ", epoch_->rewards["reward_mean"]));
}

const std::vector<LessonRow>& RolloutTask::rows_of(int64_t step) {
  Epoch& now = *epoch_;
  if (now.planned == step) return now.rows;
  const int64_t within = step % config_.rollout.steps_per_epoch(), inner = within / config_.rollout.updates;
  const auto update = static_cast<size_t>(within % config_.rollout.updates), updates = static_cast<size_t>(config_.rollout.updates);
  method_->states->prepare(now.rollouts.prompts);
  const auto items = method_->lesson->items(now.rollouts, inner);
  Generator order({static_cast<uint64_t>(config_.seed), mix(stable_hash("rollout items"), static_cast<uint64_t>(inner)),
                   static_cast<uint64_t>(now.rollouts.epoch), Purpose::shuffle});
  const auto shuffled = order.permutation(static_cast<int64_t>(items.size()));
  now.rows.clear();
  for (size_t i = update * items.size() / updates; i < (update + 1) * items.size() / updates; ++i) {
    const LessonItem& item = items[static_cast<size_t>(shuffled[i])];
    now.rows.insert(now.rows.end(), item.begin(), item.end());
  }
  if (now.rows.empty()) {
    const std::string few = concat("this epoch has ", items.size(), " examples for rollout.updates = ", updates, " steps");
    warn("step ", step + 1, ": ", items.empty() ? "no picture of this epoch is better than another of its prompt" : few,
         ", so it changes next to nothing");
  }
  now.planned = step;
  return now.rows;
}

Pass RolloutTask::pass(int64_t step, int64_t part, double, const Ranks&) {
  const int64_t epoch = step / config_.rollout.steps_per_epoch();
  if (epoch_->rollouts.epoch != epoch) begin_epoch(epoch);
  epoch_->step = step;
  const std::vector<LessonRow>& all = rows_of(step);
  const auto count = static_cast<int64_t>(all.size()), first = part * count / passes_, end = (part + 1) * count / passes_;
  Pass pass;
  pass.metrics = epoch_->rewards;
  if (first == end) {  // an epoch may teach less than there is room for
    pass.loss = parameters_.groups()[0].held.empty() ? parameters_.values()[0].sum() * 0 : parameters_.groups()[0].held[0].sum() * 0;
    return pass;
  }
  const std::vector<LessonRow> rows(all.begin() + first, all.begin() + end);
  const int64_t inner = step % config_.rollout.steps_per_epoch() / config_.rollout.updates;
  const LessonOutput out = method_->lesson->evaluate(*policy_, epoch_->rollouts, rows, *method_->states, inner);
  // The loop takes the mean over passes, which are of different sizes: so weighed, it is the mean over rows.
  const double share = static_cast<double>(passes_) / static_cast<double>(count);
  pass.loss = out.losses.sum() * share;
  pass.losses = out.losses.detach();
  for (const LessonRow& row : rows) pass.visits.push_back({.id = static_cast<uint64_t>(epoch), .row = row.win});
  for (const auto& [name, value] : out.metrics) pass.metrics[name] = value * share * static_cast<double>(rows.size());
  return pass;
}

void RolloutTask::after_update(const Ranks&) {
  if ((epoch_->step + 1) % config_.rollout.steps_per_epoch() == 0) epoch_->rollouts = {};  // no checkpoint needs them any more
}

void RolloutTask::save(TensorMap& tensors) const {
  epoch_->rollouts.save(tensors);
  statistics_.save(tensors);
  if (method_->snapshot) method_->snapshot->save(tensors);
}

void RolloutTask::load(const TensorMap& tensors) {
  epoch_->rollouts = Rollouts::load(tensors);
  epoch_->planned = -1;
  if (epoch_->rollouts.epoch >= 0) epoch_->rewards = reward_metrics(epoch_->rollouts);
  statistics_.load(tensors);
  if (method_->snapshot) method_->snapshot->load(tensors);
}

void RolloutTask::read(const fs::path& folder) { trainable_->read(folder / pipeline_.denoiser_component()); }

void RolloutTask::write(const fs::path& folder, const TrainState& state) const {
  if (config_.full) return trainable_->write(folder / pipeline_.denoiser_component());
  trainable_->lora().save(folder, lora_metadata(config_, state));
}

Tensor RolloutTask::sample(int64_t step) {
  if (config_.sample.prompts.empty()) return {};
  const torch::NoGradGuard no_grad;
  return draw_samples(pipeline_, config_.sample, static_cast<uint64_t>(config_.seed), sample_folder(run_, step));
}

void RolloutTask::finish(const fs::path& run, const TrainState& state, const Metrics& last) {
  write_run_result(run, config_, pipeline_,
                   {{"judge", sources_.judge->identity()},
                    {"prompts", sources_.prompts.size()},
                    {"pictures", divided_up(state.step, config_.rollout.steps_per_epoch()) * config_.rollout.samples()},
                    {"trained_numbers", parameters_.count()}},
                   state, last);
}

std::string RolloutTask::describe(const Visit& visit) const {
  const auto& prompts = epoch_->rollouts.prompts;
  const auto picture = static_cast<size_t>(visit.row);
  return concat("picture ", visit.row + 1, " of epoch ", visit.id + 1,
                picture < prompts.size() ? concat(" (\"", sources_.prompts[static_cast<size_t>(prompts[picture])], "\")") : "");
}

void RolloutTask::annotate(Metrics& line, const TrainState& state) const {
  line["epoch"] = static_cast<double>(state.step) / static_cast<double>(config_.rollout.steps_per_epoch());
  if (epoch_->per_second > 0) line["rollouts_per_second"] = epoch_->per_second;
}

}  // namespace palate
