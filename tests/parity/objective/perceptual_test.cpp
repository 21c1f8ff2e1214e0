// Noise-conditioned perception against the same written out with diffusers + peft (tests/golden/make_perceptual.py).
#include <doctest/doctest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/adapters/lora.h"
#include "palate/config/config.h"
#include "palate/diffusion/schedule.h"
#include "palate/objective/objective.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

struct Perceived {
  Perceived(const std::string& model, const std::string& prediction)
      : in(load_golden(model == "sd" ? "perceptual_batch.safetensors" : "perceptual_xl_batch.safetensors")),
        network(load_denoiser(golden(model == "sd" ? "tiny_model/unet" : "tiny_pipeline_xl/unet"))),
        lora(Lora::load(network->module(), golden(model == "sd" ? "lora_peft.safetensors" : "perceptual_xl_lora.safetensors"))),
        schedule(scheduler(prediction)) {
    for (auto& parameter : network->module().parameters()) parameter.requires_grad_(false);
    for (const auto& [name, value] : lora.parameters()) value.requires_grad_(true);
  }
  static Json scheduler(const std::string& prediction) {
    Json config = read_json(golden("tiny_model/scheduler/scheduler_config.json"));
    config["prediction_type"] = prediction;
    return config;
  }
  ObjectiveOutput evaluate(std::vector<std::string> overrides, bool uniform) {
    overrides.insert(overrides.begin(), {"error_space=perceptual", "beta_convention=diffusers"});
    ObjectiveConfig config;
    load_config({.file_name = "", .file_text = "", .overrides = overrides}, [&](Fields& f) { config.visit(f); });
    Objective objective(config, {.process = schedule, .network = network.get(), .frozen = {}});
    ReferenceSetup setup;
    setup.policy = network.get();
    objective.set_reference(make_reference(config, setup));
    Batch batch;
    batch.views = 2;
    for (int64_t i = 0; i < 3; ++i) batch.visits.push_back({.id = static_cast<uint64_t>(i), .row = i});
    batch.x0 = torch::cat({in.at("latents_win"), in.at("latents_lose")});
    for (const auto& name : condition_names()) {
      if (in.contains(name)) batch.condition.set(name, in.at(name));
    }
    batch.label = torch::ones({3});
    Policy policy{*network};
    return objective.evaluate(policy, batch,
                              {.t = in.at("timesteps"),
                               .weight = torch::ones({3}),
                               .noise = in.at("noise"),
                               .step_noise = in.at("step_noise"),
                               .features_t = uniform ? in.at("features_timesteps") : Tensor()});
  }
  std::map<std::string, Tensor> in;
  std::unique_ptr<Denoiser> network;
  Lora lora;
  NoiseSchedule schedule;
};

struct PerceptualCase {
  const char *name, *model, *prediction;
  std::vector<std::string> overrides;
  bool uniform;
};

}  // namespace

TEST_CASE("perceptual parity: errors, losses and every LoRA gradient of NCP-DPO") {
  const GoldenFile golden("perceptual_expected.safetensors");
  const PerceptualCase cases[] = {{"down", "sd", "epsilon", {"tap=down", "beta=1000"}, false},
                                  {"mid", "sd", "epsilon", {"tap=mid", "beta=1000"}, false},
                                  {"both", "sd", "epsilon", {"tap=[\"down\", \"mid\"]", "beta=1000"}, false},
                                  {"v_mid", "sd", "v_prediction", {"tap=mid", "beta=1000"}, false},
                                  {"uniform", "sd", "epsilon", {"features_timesteps=uniform", "beta=1"}, true},
                                  {"v_uniform", "sd", "v_prediction", {"features_timesteps=uniform", "beta=1"}, true},
                                  {"xl_down", "xl", "epsilon", {"tap=down", "beta=10000"}, false}};
  for (const PerceptualCase& it : cases) {
    Perceived run(it.model, it.prediction);
    const ObjectiveOutput out = run.evaluate(it.overrides, it.uniform);
    const std::string name = std::string(it.name) + ".";
    golden.expect(name + "policy_win", out.policy.narrow(0, 0, 3), 1e-5);
    golden.expect(name + "policy_lose", out.policy.narrow(0, 3, 3), 1e-5);
    golden.expect(name + "reference_win", out.reference.narrow(0, 0, 3), 1e-5);
    golden.expect(name + "reference_lose", out.reference.narrow(0, 3, 3), 1e-5);
    golden.expect(name + "losses", out.losses, 1e-5);
    golden.expect(name + "logits", out.terms.logits, 1e-5);
    out.loss.backward();
    size_t count = 0;
    for (const auto& entry : golden.values()) count += entry.first.starts_with(name + "grad.") ? 1 : 0;
    CHECK(run.lora.parameters().size() == count);
    // What is compared differs by a thousandth of the features: float32's last digits come back a thousand times as large.
    // The encoder's inputs differ by a hundredth of the prediction's error, so rounding counts a hundredfold: 1.4e-4 without vectors.
    for (const auto& [key, value] : run.lora.parameters()) golden.expect(name + "grad.unet." + key, value.grad(), 2e-4);
  }
}
