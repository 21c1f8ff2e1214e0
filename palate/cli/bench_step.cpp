#include "palate/cli/bench_step.h"

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/cli/bench_models.h"
#include "palate/config/config.h"
#include "palate/core/device.h"
#include "palate/core/generator.h"
#include "palate/diffusion/schedule.h"
#include "palate/objective/objective.h"
#include "palate/train/trainable.h"
#include "palate/train/update.h"

namespace palate {
namespace {

// How long the reference takes; without an inner one it gives fixed errors, as a cache would.
class TimedReference : public Reference {
 public:
  TimedReference(std::unique_ptr<Reference> inner, double& seconds) : inner_(std::move(inner)), seconds_(seconds) {}
  Branch run(const RunBranch& run, Policy& policy, const Batch& batch) override {
    const auto begin = Clock::now();
    Branch branch = inner_ ? inner_->run(run, policy, batch) : Branch{torch::ones({batch.views * batch.size()}, batch.x0.options()), {}};
    seconds_ = seconds_since(begin);
    return branch;
  }

 private:
  std::unique_ptr<Reference> inner_;
  double& seconds_;
};

LoraConfig lora_config(const BenchArguments& a) {
  LoraConfig config;
  config.rank = a.rank;
  if (a.kind == "embedded") config.targets.insert(config.targets.end(), {"conv1", "conv2"});
  return config;
}

// SDXL's pooled text and sizes; nothing for other models.
Condition sizes(const BenchArguments& a) {
  const Json config = bench_unet_config(a.model);
  if (config.value("addition_embed_type", Json()) != "text_time") return {};
  const int64_t side = 8 * a.latent, pooled = config.at("projection_class_embeddings_input_dim").get<int64_t>() -
                                              6 * config.at("addition_time_embed_dim").get<int64_t>();
  return {{"text_embeds", bench_noise({a.pairs, pooled}, 4)},
          {"time_ids", torch::tensor({side, side, int64_t{0}, int64_t{0}, side, side}, torch::kFloat32).expand({a.pairs, 6}).contiguous()}};
}

class BenchTask : public Task {
 public:
  explicit BenchTask(const BenchArguments& a)
      : denoiser_(bench_denoiser(a.model, parse_dtype(a.dtype), parse_device(a.device))),
        trainable_(Trainable::adapters(*denoiser_, lora_config(a), 0)),
        policy_{*denoiser_},
        schedule_(bench_scheduler(a.model)) {
    denoiser_->set_gradient_checkpointing(a.checkpointing);
    parameters_.add(trainable_.group());
    ObjectiveConfig config;
    load_config({.file_name = "", .file_text = "", .overrides = a.objective}, [&](Fields& f) { config.visit(f); });
    const LoadOptions load{.dtype = parse_dtype(a.dtype), .device = parse_device(a.device), .variant = ""};
    objective_ = std::make_unique<Objective>(
        config,
        SpaceSetup{
            .process = schedule_, .network = denoiser_.get(), .frozen = {}, .load = load, .gradient_checkpointing = a.checkpointing});
    ReferenceSetup setup;
    setup.policy = denoiser_.get();
    if (objective_->needs().reference)
      objective_->set_reference(
          std::make_unique<TimedReference>(a.reference == "cached" ? nullptr : make_reference(config, setup), reference_seconds));
    make_batch(a);
  }

  Parameters& parameters() override { return parameters_; }
  void set_training(bool on) override { trainable_.set_training(on); }
  Pass pass(int64_t step, int64_t, double, const Ranks& ranks) override {
    for (Visit& visit : batch.visits) visit.visit = visit.draw = static_cast<uint64_t>(step);
    const ObjectiveOutput output = objective_->evaluate(policy_, batch, objective_->draw(batch, 0), ranks);
    return {.loss = output.loss, .losses = output.losses.detach(), .visits = batch.visits, .metrics = output.metrics};
  }
  void write(const std::filesystem::path&, const TrainState&) const override {}

  Batch batch;
  double reference_seconds = 0;

 private:
  void make_batch(const BenchArguments& a) {
    batch.views = 2;
    for (int64_t i = 0; i < a.pairs; ++i) batch.visits.push_back({.id = static_cast<uint64_t>(i), .row = i});
    const std::vector<int64_t> size = {a.pairs, denoiser_->in_channels(), a.latent, a.latent};
    batch.x0 = torch::cat({bench_noise(size, 1), bench_noise(size, 2)});
    batch.label = torch::ones({a.pairs});
    const Tensor text = bench_noise({a.pairs, bench_text_length(a.model), denoiser_->text_width()}, 3);
    batch.condition = Condition{{"encoder_hidden_states", text}}.with_missing_of(sizes(a));
    batch = batch.to(parse_device(a.device), parse_dtype(a.dtype));
  }

  std::unique_ptr<Denoiser> denoiser_;
  Trainable trainable_;
  Policy policy_;
  Parameters parameters_;
  NoiseSchedule schedule_;
  std::unique_ptr<Objective> objective_;
};

// What a trainer without a cache does at every step.
struct Encoding {
  explicit Encoding(const BenchArguments& a)
      : autoencoder(bench_autoencoder(a.model, parse_dtype(a.dtype), parse_device(a.device))),
        text(bench_text_encoder(a.model, parse_dtype(a.dtype), parse_device(a.device))) {
    const int64_t side = a.latent * autoencoder->factor();
    pixels = bench_noise({1, 3, side, side}, 7).to(parse_device(a.device), parse_dtype(a.dtype));
  }
  void encode(Batch& batch) const {
    const torch::NoGradGuard no_grad;
    std::vector<Tensor> rows;
    for (int64_t i = 0; i < batch.x0.size(0); ++i) rows.push_back(autoencoder->encode(pixels).mean * autoencoder->scaling_factor());
    batch.x0 = torch::cat(rows).to(torch::kFloat32);
    const Tensor ids = torch::full({batch.size(), text->max_length()}, 7, pixels.options().dtype(torch::kInt64));
    batch.condition.set("encoder_hidden_states", text->encode(ids).last_hidden_state.to(pixels.scalar_type()));
  }
  std::unique_ptr<Autoencoder> autoencoder;
  std::unique_ptr<TextEncoder> text;
  Tensor pixels;
};

}  // namespace

Tensor bench_noise(const std::vector<int64_t>& sizes, uint64_t sample) {
  return Generator({.seed = 0, .sample = sample, .draw = 0, .purpose = Purpose::noise}).normal(sizes);
}

struct StepBench::State {
  explicit State(const BenchArguments& a) : task(a), update(task, {}, 0) {
    if (a.work != "cached") encoding.emplace(a);
  }
  BenchTask task;
  Update update;
  std::optional<Encoding> encoding;
  int64_t steps = 0;
};

StepBench::StepBench(const BenchArguments& arguments) : state_(std::make_unique<State>(arguments)) {}
StepBench::~StepBench() = default;

Parts StepBench::step() {
  const auto begin = Clock::now();
  if (state_->encoding) state_->encoding->encode(state_->task.batch);
  const double encoded = seconds_since(begin);
  const StepReport report = state_->update.step(state_->steps++, 1, 0, {}, [](const Parameters::Group&) { return 1e-5; });
  const double reference = state_->task.reference_seconds;
  return {{"encode", encoded},
          {"policy", report.pass_seconds - reference},
          {"reference", reference},
          {"backward", report.backward_seconds},
          {"optimizer", report.update_seconds},
          {"total", seconds_since(begin)}};
}

}  // namespace palate
