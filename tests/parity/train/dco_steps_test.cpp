// Ten optimizer steps of DCO with a new word against diffusers, peft and torch.optim: golden/make_dco_steps.py.
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/config/config.h"
#include "palate/objective/objective.h"
#include "palate/pipeline/pipeline.h"
#include "palate/train/optimizer.h"
#include "palate/train/optimizers/constants.h"
#include "palate/train/text_training.h"
#include "palate/train/trainable.h"
#include "tests/support/calm_model.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"

using namespace palate;
using namespace palate::test;

namespace {

// What a weight moved by in ten steps has the rounding of ten gradients in it, and of the text encoder's.
constexpr double ten_dco_gradients = 1e-5;

std::unique_ptr<Optimizer> adamw(const std::vector<std::string>& called, const std::vector<Tensor>& values) {
  OptimizerConfig config;
  config.constants = Constants(AdamWConfig{.eps = 1e-3, .weight_decay = 1e-4});  // as make_dco_steps.py says
  return make_optimizer(config, called, values);
}

struct Training {
  explicit Training(const GoldenFile& golden, const std::string& reads) : pipeline(calm_model("tiny_pipeline")) {
    base = pipeline.encode_prompts({"a photo of cat", "a photo of cat"});
    Denoiser& denoiser = pipeline.denoiser();
    unet.emplace(Trainable::adapters(denoiser, {.rank = 2}, 0));
    {
      const torch::NoGradGuard no_grad;
      const auto& group = unet->group();
      for (size_t i = 0; i < group.names.size(); ++i) Tensor(group.values[i]).copy_(golden.at("value." + short_name(group.names[i])));
    }
    TextConfig config;
    config.word = "<toy>";
    config.initializer = "cat";
    text.emplace(pipeline.prompt_encoder(), config, LoraConfig{}, 0);
    ObjectiveConfig objective_config;
    load_config({.file_name = "", .file_text = "", .overrides = {"loss=dco", "beta=200"}}, [&](Fields& f) { objective_config.visit(f); });
    objective.emplace(objective_config, SpaceSetup{.process = pipeline.noise_process(), .network = &denoiser, .frozen = {}, .load = {}});
    ReferenceSetup setup;
    setup.policy = &denoiser;
    objective->set_reference(make_reference(objective_config, setup));
    policy.emplace(Policy{denoiser, [this](const std::vector<std::string>& prompts) { return text->condition(prompts); }});
    batch.visits = {{}, {.id = 1}};
    batch.prompts = {reads, reads};
    batch.condition = batch.base_condition = base;
    batch.label = torch::ones({2});
  }

  // "unet.NAME" and "NAME" are both in use for what a LoRA trains.
  static std::string short_name(const std::string& name) { return name.starts_with("unet.") ? name.substr(5) : name; }

  Pipeline pipeline;
  Condition base;
  std::optional<Trainable> unet;
  std::optional<TextTraining> text;
  std::optional<Objective> objective;
  std::optional<Policy> policy;
  Batch batch;
};

}  // namespace

TEST_CASE("dco: ten steps with a new word give the losses of the Python loop, and move LoRA and word as it does") {
  const GoldenFile golden("dco_steps.safetensors");
  Training training(golden, "a photo of <toy>");
  Parameters parameters;
  parameters.add(training.unet->group());
  parameters.add(training.text->group());
  const Tensor word = training.text->group().values.at(0), first = word.detach().clone();
  const auto lora_steps = adamw(parameters.groups()[0].names, parameters.groups()[0].values),
             word_steps = adamw(parameters.groups()[1].names, parameters.groups()[1].values);
  for (int64_t step = 0; step < 10; ++step) {
    CAPTURE(step);
    training.batch.x0 = golden.at("latents")[step];
    const Noising noising{.t = golden.at("t")[step], .weight = torch::ones({2}), .noise = golden.at("noise")[step]};
    const Tensor loss = training.objective->evaluate(*training.policy, training.batch, noising).loss;
    expect_close("loss", loss.detach(), golden.at("losses")[step], golden.bound("losses", 1e-5));
    loss.backward();
    parameters.collect();
    lora_steps->step(parameters.gradients(parameters.groups()[0]), 2e-3);
    word_steps->step(parameters.gradients(parameters.groups()[1]), 5e-3);
    training.text->keep_norms();
    parameters.publish();
    parameters.clear_gradients();
  }
  const auto& group = training.unet->group();
  for (size_t i = 0; i < group.names.size(); ++i) {
    const std::string name = Training::short_name(group.names[i]);
    golden.expect("moved." + name, group.values[i].detach() - golden.at("value." + name), ten_dco_gradients);
  }
  golden.expect("moved.text_encoder.token_embedding", word.detach() - first, ten_dco_gradients);
  CHECK(golden.at("moved.text_encoder.token_embedding").abs().max().item<double>() > 0.01);  // so that there was something to see
}

TEST_CASE("faults: a policy that reads the class instead of the word is seen in the second loss") {
  const GoldenFile golden("dco_steps.safetensors");
  Training training(golden, "a photo of dog");
  training.batch.x0 = golden.at("latents")[0];
  const Noising noising{.t = golden.at("t")[0], .weight = torch::ones({2}), .noise = golden.at("noise")[0]};
  const Tensor loss = training.objective->evaluate(*training.policy, training.batch, noising).loss;
  CHECK((loss - golden.at("losses")[0]).abs().item<double>() > 1e-4);
}
