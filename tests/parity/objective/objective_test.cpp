// The objective against the same written out with diffusers + peft (tests/golden/make_objective.py).
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

using Tensors = std::map<std::string, Tensor>;

struct Given {
  Batch batch;
  Noising noising;
};

Given given(bool soft) {
  const Tensors in = load_golden("objective_batch.safetensors");
  Given all;
  all.batch.views = 2;
  for (int64_t i = 0; i < 3; ++i) all.batch.visits.push_back({.id = static_cast<uint64_t>(i), .row = i});
  all.batch.x0 = torch::cat({in.at("latents_win"), in.at("latents_lose")});
  all.batch.condition = {{"encoder_hidden_states", in.at("encoder_hidden_states")}};
  all.batch.label = soft ? in.at("preference") : torch::ones({3});
  all.noising = {.t = in.at("timesteps"), .weight = torch::ones({3}), .noise = in.at("noise")};
  return all;
}

struct Run {
  explicit Run(const std::string& prediction) : schedule(scheduler(prediction)) {
    for (auto& parameter : network->module().parameters()) parameter.requires_grad_(false);
  }
  static Json scheduler(const std::string& prediction) {
    Json config = read_json(golden("tiny_model/scheduler/scheduler_config.json"));
    config["prediction_type"] = prediction;
    return config;
  }
  ObjectiveOutput evaluate(std::vector<std::string> overrides, bool soft) {
    ObjectiveConfig config;
    load_config({.file_name = "", .file_text = "", .overrides = std::move(overrides)}, [&](Fields& f) { config.visit(f); });
    Objective objective(config, {.process = schedule, .network = network.get(), .frozen = {}});
    ReferenceSetup setup;
    setup.policy = network.get();
    objective.set_reference(make_reference(config, setup));
    const Given in = given(soft);
    Policy policy{*network};
    return objective.evaluate(policy, in.batch, in.noising);
  }
  std::unique_ptr<Denoiser> network = load_denoiser(golden("tiny_model/unet"));
  Lora lora = Lora::load(network->module(), golden("lora_peft.safetensors"));
  NoiseSchedule schedule;
};

}  // namespace

TEST_CASE("objective parity: errors, logits and losses of every loss on pairs, epsilon and v") {
  const GoldenFile golden("objective_expected.safetensors");
  // make_objective.py names k; beta = 2 k.
  const std::pair<const char*, std::vector<std::string>> cases[] = {{"sigmoid", {"beta=20"}},
                                                                    {"hinge", {"beta=20", "loss_type=hinge"}},
                                                                    {"ipo", {"beta=20", "loss_type=ipo"}},
                                                                    {"smooth", {"beta=20", "label_smoothing=0.1"}},
                                                                    {"strong", {"beta=50", "beta_convention=diffusers"}},
                                                                    {"robust", {"beta=20", "label_smoothing=0.1", "loss_type=robust"}},
                                                                    {"margin", {"beta=20", "margin=0.3", "anchor=0.5"}},
                                                                    {"cpo", {"loss=cpo", "beta=10"}},
                                                                    {"orpo", {"loss=orpo"}},
                                                                    {"mapo", {"loss=mapo", "mapo_scale=20"}},
                                                                    {"dspo_sd15", {"loss=dspo", "beta=0.5"}},
                                                                    {"dspo_sdxl", {"loss=dspo", "form=sdxl", "beta=20"}},
                                                                    {"safeguard", {"beta=20", "safeguard=0.6"}},
                                                                    {"inverted", {"beta=20", "noising=inverted"}}};
  for (const std::string prediction : {"epsilon", "v_prediction"}) {
    Run run(prediction);
    for (const auto& [test, overrides] : cases) {
      const auto out = run.evaluate(overrides, std::string(test) == "smooth" || std::string(test) == "robust");
      const auto winners = [&](const Tensor& errors) { return errors.narrow(0, 0, out.examples); };
      const auto losers = [&](const Tensor& errors) { return errors.narrow(0, out.examples, out.examples); };
      const bool forward = std::string(test) != "inverted";
      if (forward) {
        golden.expect(prediction + ".policy_win", winners(out.policy));
        golden.expect(prediction + ".policy_lose", losers(out.policy));
      }
      if (forward && out.reference.defined()) {
        golden.expect(prediction + ".reference_win", winners(out.reference));
        golden.expect(prediction + ".reference_lose", losers(out.reference));
      }
      const std::string name = prediction + "." + test;
      // z is k times a difference of errors, a hundredth of them: their last digits come back a thousand times as large.
      golden.expect(name + ".logits", out.terms.logits, 1e-5);
      golden.expect(name + ".losses", out.losses, 1e-5);
      golden.expect(name + ".loss", out.loss, 1e-5);
    }
  }
}

TEST_CASE("objective parity: every LoRA gradient of dpo, epsilon and v, and of the other losses on pairs") {
  const GoldenFile golden("objective_expected.safetensors");
  const std::pair<const char*, std::vector<std::string>> cases[] = {{"epsilon.sigmoid", {"beta=20"}},
                                                                    {"v_prediction.sigmoid", {"beta=20"}},
                                                                    {"epsilon.cpo", {"loss=cpo", "beta=10"}},
                                                                    {"epsilon.orpo", {"loss=orpo"}},
                                                                    {"epsilon.mapo", {"loss=mapo", "mapo_scale=20"}},
                                                                    {"epsilon.dspo_sd15", {"loss=dspo", "beta=0.5"}},
                                                                    {"epsilon.dspo_sdxl", {"loss=dspo", "form=sdxl", "beta=20"}},
                                                                    {"epsilon.safeguard", {"beta=20", "safeguard=0.6"}},
                                                                    {"epsilon.inverted", {"beta=20", "noising=inverted"}}};
  for (const auto& [test, overrides] : cases) {
    const std::string name = test, prefix = name + ".grad.unet.";
    Run run(name.substr(0, name.find('.')));
    run.evaluate(overrides, false).loss.backward();
    size_t count = 0;
    for (const auto& [key, gradient] : golden.values()) count += key.starts_with(prefix) ? 1 : 0;
    CHECK(run.lora.parameters().size() == count);
    for (const auto& [key, parameter] : run.lora.parameters()) golden.expect(prefix + key, parameter.grad(), 1e-5);
  }
}
