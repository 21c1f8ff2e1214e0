// `palate step` for losses on the model's own denoising steps, against the same written out in torch (tests/golden/make_step_losses.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/io/safetensors.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

// The tiny model with the golden's scheduler, whose last step ends at final_alpha_cumprod, and the golden's tensors of one case.
struct Case {
  explicit Case(const std::string& prediction) : name(prediction), folder(fresh_folder("step_losses_" + prediction)) {
    fs::copy(golden("tiny_model"), folder / "model", fs::copy_options::recursive);
    Json scheduler = read_json(golden("tiny_model/scheduler/scheduler_config.json"));
    scheduler["set_alpha_to_one"] = false;
    scheduler["prediction_type"] = prediction;
    write_text(folder / "model/scheduler/scheduler_config.json", scheduler.dump());
    const GoldenFile given("step_losses_given.safetensors");
    for (const auto& [key, value] : given.values()) {
      if (key.starts_with(name + ".")) in[key.substr(name.size() + 1)] = value;
    }
  }
  ProcessResult step(const std::string& loss, const std::vector<std::string>& more = {}) const {
    save_safetensors(folder / "in.safetensors", in);
    std::vector<std::string> words = {
        "step", "--model", (folder / "model").string(),          "--lora", golden("lora_peft.safetensors").string(), "--objective",
        loss,   "--in",    (folder / "in.safetensors").string(), "--out",  (folder / "out.safetensors").string()};
    words.insert(words.end(), more.begin(), more.end());
    return run_program(words);
  }
  SafetensorsFile out() const { return SafetensorsFile(folder / "out.safetensors"); }

  std::string name;
  fs::path folder;
  TensorMap in;
};

const GoldenFile& expected() {
  static const GoldenFile file("step_losses_expected.safetensors");
  return file;
}

// All that the golden has of this loss.
void expect_case(const Case& one, const std::string& loss) {
  const ProcessResult ran = one.step(loss, {"guidance_scale=3", "eta=1"});
  REQUIRE_MESSAGE(ran.status == 0, ran.err);
  const SafetensorsFile out = one.out();
  size_t compared = 0;
  const std::string prefix = one.name + "." + loss + ".";
  for (const auto& [key, value] : expected().values()) {
    if (!key.starts_with(prefix)) continue;
    ++compared;
    expected().expect(key, out.tensor(key.substr(prefix.size())), 1e-5);
  }
  CHECK(compared >= 2);
  const bool pairs = out.contains("log_prob_win");
  for (const char* of_case : {"log_prob", "ratio", "kl", "ratio_win", "ratio_lose"}) {
    if (out.contains(of_case)) expected().expect(one.name + "." + of_case, out.tensor(of_case), 1e-5);
  }
  CHECK(out.contains(pairs ? "kl_win" : "kl"));
  CHECK(out.contains(pairs ? "ratio_lose" : "ratio"));
}

}  // namespace

TEST_CASE("step losses: losses, densities, ratios, KL and gradients equal the formulas written out in torch") {
  for (const char* prediction : {"epsilon", "v_prediction"}) {
    const Case one(prediction);
    for (const char* loss : {"ddpo", "dpok", "flow-grpo", "d3po", "spo"}) {
      INFO(std::string(prediction) << " " << std::string(loss));
      expect_case(one, loss);
    }
  }
}

TEST_CASE("step losses: without old_log_prob the policy is its own old one, so every ratio is 1 and the loss is minus the advantage") {
  Case one("epsilon");
  one.in.erase("old_log_prob");
  REQUIRE(one.step("ddpo", {"guidance_scale=3"}).status == 0);
  const SafetensorsFile out = one.out();
  CHECK(torch::equal(out.tensor("ratio"), torch::ones({3})));
  CHECK(torch::equal(out.tensor("losses"), -one.in.at("advantages").clamp(-5, 5)));
}

TEST_CASE("step losses: guidance is off without states of the empty prompt, and refused where it was asked for") {
  Case one("epsilon");
  one.in.erase("uncond_encoder_hidden_states");
  REQUIRE(one.step("ddpo").status == 0);
  const Tensor alone = one.out().tensor("log_prob").clone();
  one.in["uncond_encoder_hidden_states"] = torch::zeros({3, 5, 12});
  REQUIRE(one.step("ddpo", {"guidance_scale=1"}).status == 0);
  CHECK(torch::equal(one.out().tensor("log_prob"), alone));
  REQUIRE(one.step("ddpo").status == 0);  // 5, as in the papers
  CHECK_FALSE(torch::equal(one.out().tensor("log_prob"), alone));
  one.in.erase("uncond_encoder_hidden_states");
  const ProcessResult refused = one.step("ddpo", {"guidance_scale=3"});
  CHECK(refused.status == 2);
  CHECK(refused.err.find("guidance needs the tensor 'uncond_encoder_hidden_states'") != std::string::npos);
}

TEST_CASE("step losses: what has no density, and what is missing, is refused with one sentence") {
  Case one("epsilon");
  const auto refused = [&](const std::string& loss, const std::vector<std::string>& more, const char* words) {
    const ProcessResult ran = one.step(loss, more);
    INFO(ran.err);
    CHECK(ran.status == 2);
    CHECK(ran.err.find(words) != std::string::npos);
  };
  refused("ddpo", {"guidance_scale=3", "eta=0"}, "adds no noise");
  refused("ddpo", {"beta=1"}, "objective.beta");
  const Tensor steps = one.in.at("previous_timesteps");
  one.in["previous_timesteps"] = one.in.at("timesteps");
  refused("ddpo", {"guidance_scale=3"}, "previous_timesteps below them");
  one.in["previous_timesteps"] = steps;
  one.in.erase("advantages");
  refused("ddpo", {"guidance_scale=3"}, "step needs the tensor 'advantages'");
  one.in.erase("previous_latents_lose");
  one.in.erase("previous_latents");
  refused("spo", {"guidance_scale=3"}, "step needs the tensor 'previous_latents_lose'");
}
