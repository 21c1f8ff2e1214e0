// `palate step` as other people call it: files in, files out (docs/formats.md, section 16).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "palate/io/atomic_file.h"
#include "palate/io/json.h"
#include "palate/io/safetensors.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

namespace fs = std::filesystem;

struct Result {
  int status;
  std::string error;
};

Result palate_step(const std::string& arguments) {
  const fs::path log = fresh_folder("step_log") / "stderr.txt";
  const int code = std::system(("'" + program().string() + "' step " + arguments + " 2>'" + log.string() + "' >/dev/null").c_str());
  return {code < 0 ? code : (code >> 8), read_text(log)};
}

std::string quoted(const fs::path& path) { return " '" + path.string() + "'"; }
std::string model() { return "--model" + quoted(golden("tiny_model")) + " --in" + quoted(golden("objective_batch.safetensors")); }
std::string lora() { return " --lora" + quoted(golden("lora_peft.safetensors")); }

}  // namespace

TEST_CASE("step: dpo of a LoRA equals the formula on its own errors, and autograd's gradients") {
  const fs::path out = fresh_folder("step") / "out.safetensors";
  const auto ran = palate_step(model() + lora() + " --objective dpo beta=20 objective.loss_type=sigmoid --out" + quoted(out));
  REQUIRE_MESSAGE(ran.status == 0, ran.error);
  const SafetensorsFile file(out);
  const GoldenFile golden("objective_expected.safetensors");
  auto in = load_golden("objective_batch.safetensors");
  const Tensor z =
      -10 * ((file.tensor("policy_win") - file.tensor("policy_lose")) - (file.tensor("reference_win") - file.tensor("reference_lose")));
  expect_close("logits", file.tensor("logits"), z, 1e-6);
  const Tensor p = in.at("preference");  // the batch file holds soft labels
  const Tensor losses = -p * at::log_sigmoid(z) - (1 - p) * at::log_sigmoid(-z);
  expect_close("losses", file.tensor("losses"), losses, 1e-6);
  expect_close("loss", file.tensor("loss"), losses.mean(), 1e-6);
  for (const char* name : {"policy_win", "policy_lose", "reference_win", "reference_lose"}) {
    golden.expect(std::string("epsilon.") + name, file.tensor(name));
  }
}

TEST_CASE("step: gradients carry the names of the saved LoRA and equal autograd's") {
  // Without soft labels, as the golden gradients were made.
  const fs::path folder = fresh_folder("step_grad");
  auto in = load_golden("objective_batch.safetensors");
  in.erase("preference");
  save_safetensors(folder / "in.safetensors", in);
  const auto ran = palate_step("--model" + quoted(golden("tiny_model")) + " --in" + quoted(folder / "in.safetensors") + lora() +
                               " --objective diffusion-dpo-lora beta=20 --out" + quoted(folder / "out.safetensors"));
  REQUIRE_MESSAGE(ran.status == 0, ran.error);
  const SafetensorsFile file(folder / "out.safetensors"), trained(golden("lora_peft.safetensors"));
  const GoldenFile golden("objective_expected.safetensors");
  for (const auto& name : trained.names()) golden.expect("epsilon.sigmoid.grad." + name, file.tensor("grad." + name), 1e-5);
}

TEST_CASE("step: sft of the whole network, latents alone") {
  const fs::path folder = fresh_folder("step_full");
  auto in = load_golden("objective_batch.safetensors");
  in["latents"] = in.at("latents_win");
  in.erase("latents_win");
  in.erase("latents_lose");
  save_safetensors(folder / "in.safetensors", in);
  const auto ran = palate_step("--model" + quoted(golden("tiny_model")) + " --in" + quoted(folder / "in.safetensors") +
                               " --full --objective sft --out" + quoted(folder / "out.safetensors"));
  REQUIRE_MESSAGE(ran.status == 0, ran.error);
  const SafetensorsFile file(folder / "out.safetensors");
  const GoldenFile golden("objective_expected.safetensors");
  golden.expect("sft.losses", file.tensor("losses"));
  size_t gradients = 0;
  for (const auto& [name, value] : golden.values()) {
    if (!name.starts_with("sft.grad.")) continue;
    ++gradients;
    golden.expect(name, file.tensor(name.substr(4)), 5e-6);
  }
  CHECK(file.names().size() == gradients + 4);  // loss, losses, policy, policy_win
}

TEST_CASE("step: kto takes single pictures with their thumbs, and equals the formula on its own errors") {
  const fs::path folder = fresh_folder("step_kto");
  auto in = load_golden("objective_batch.safetensors");
  in["latents"] = in.at("latents_win");
  in.erase("latents_win");
  in.erase("latents_lose");
  const auto run = [&](const std::string& name) {
    save_safetensors(folder / (name + ".safetensors"), in);
    return palate_step("--model" + quoted(golden("tiny_model")) + lora() + " --in" + quoted(folder / (name + ".safetensors")) +
                       " --objective kto beta=20 --out" + quoted(folder / (name + "_out.safetensors")));
  };
  const auto refused = [&](const Result& ran, const char* words) {
    INFO(ran.error);
    CHECK(ran.status == 2);
    CHECK(ran.error.find(words) != std::string::npos);
  };
  refused(run("none"), "step needs the tensor 'labels'");
  const int64_t count = in.at("latents").size(0);
  in["label"] = torch::arange(count).remainder(2).to(torch::kFloat32);
  refused(run("zeros"), "'label' has another value than 1 (thumb up) and -1 (thumb down)");
  const Tensor y = in["label"] = 1 - 2 * in["label"];
  const auto ran = run("thumbs");
  REQUIRE_MESSAGE(ran.status == 0, ran.error);
  const SafetensorsFile file(folder / "thumbs_out.safetensors");
  const Tensor gain = file.tensor("reference_win") - file.tensor("policy_win");
  const Tensor z = 20 * y * (gain - gain.mean().clamp_min(0));
  expect_close("logits", file.tensor("logits"), z, 1e-6);
  expect_close("losses", file.tensor("losses"), at::sigmoid(-z), 1e-6);
  CHECK_FALSE(file.contains("policy_lose"));
}

// tiny_model with another prediction in its scheduler.
fs::path model_of(const std::string& prediction, const fs::path& folder) {
  fs::create_directories(folder / "scheduler");
  fs::create_directory_symlink(golden("tiny_model") / "unet", folder / "unet");
  Json config = read_json(golden("tiny_model") / "scheduler" / "scheduler_config.json");
  config["prediction_type"] = prediction;
  write_json(folder / "scheduler" / "scheduler_config.json", config);
  return folder;
}

TEST_CASE("step: dpo-cm and sdpo with every switch equal the same from Gaussian log densities (make_importance.py), gradients too") {
  const fs::path folder = fresh_folder("step_importance");
  const GoldenFile golden_file("importance_expected.safetensors");
  const std::pair<const char*, const char*> cases[] = {
      {"outside", "dpo-cm threshold=0.5 clip=0.3"},
      {"inside", "sdpo threshold=0.5 clip=0.3"},
      {"sampled", "dpo-cm weight=inside importance=sampled threshold=0.3 clip=0.2"},
      {"reference", "sdpo weight=outside importance=sampled ratio=reference threshold=0 clip=0.01"},
      {"quantile", "sdpo ratio=reference quantile=0.4 clip=0.01"}};
  size_t gradients = 0;
  for (const std::string prediction : {"epsilon", "v_prediction"}) {
    const fs::path model = model_of(prediction, folder / prediction);
    for (const auto& [name, objective] : cases) {
      const fs::path out = folder / (prediction + name + ".safetensors");
      const auto ran = palate_step("--model" + quoted(model) + " --in" + quoted(golden("importance_batch.safetensors")) + lora() +
                                   " --objective " + objective + " beta=20 --out" + quoted(out));
      REQUIRE_MESSAGE(ran.status == 0, ran.error);
      const SafetensorsFile file(out);
      const std::string prefix = prediction + "." + name + ".";
      for (const auto& [key, value] : golden_file.values()) {
        if (!key.starts_with(prefix)) continue;
        golden_file.expect(key, file.tensor(key.substr(prefix.size())), 1e-5);
        gradients += key.find(".grad.") != std::string::npos ? 1 : 0;
      }
      expect_close("masked", file.tensor("terms.masked"), 1 - file.tensor("mask"), 1e-6);
    }
  }
  CHECK(gradients == 4 * SafetensorsFile(golden("lora_peft.safetensors")).names().size());
}

TEST_CASE("step: sdpo's step leads T / sampler_steps back unless the file says where") {
  const fs::path folder = fresh_folder("step_previous");
  auto in = load_golden("importance_batch.safetensors");
  in["previous_timesteps"] = in.at("timesteps") - 20;
  const auto run = [&](const std::string& name, const std::string& more) {
    save_safetensors(folder / (name + ".safetensors"), in);
    const auto ran = palate_step("--model" + quoted(golden("tiny_model")) + lora() + " --in" + quoted(folder / (name + ".safetensors")) +
                                 " --objective sdpo threshold=0 clip=1 " + more + " --out" + quoted(folder / (name + "_out.safetensors")));
    REQUIRE_MESSAGE(ran.status == 0, ran.error);
    return SafetensorsFile(folder / (name + "_out.safetensors")).tensor("weight_win");
  };
  const Tensor given = run("given", "");
  in.erase("previous_timesteps");
  expect_close("default", run("default", ""), given, 1e-6);
  CHECK_FALSE(run("twenty", "sampler_steps=20").allclose(given));
}

TEST_CASE("step: sdpo without the noise of its step, or with a step to more noise, exits with 2 and one sentence") {
  const fs::path folder = fresh_folder("step_sdpo_wrong");
  auto in = load_golden("importance_batch.safetensors");
  const auto refused = [&](const std::string& more, const char* words) {
    save_safetensors(folder / "in.safetensors", in);
    const auto ran = palate_step("--model" + quoted(golden("tiny_model")) + lora() + " --in" + quoted(folder / "in.safetensors") +
                                 " --objective sdpo " + more + " --out" + quoted(folder / "out.safetensors"));
    INFO(ran.error);
    CHECK(ran.status == 2);
    CHECK(ran.error.find(words) != std::string::npos);
  };
  in["previous_timesteps"] = in.at("timesteps") + 1;
  refused("", "previous_timesteps has a value above its timestep");
  in["previous_timesteps"] = in.at("timesteps") + 100;
  refused("", "previous_timesteps has a value that is not a whole number between 0 and 999");
  in.erase("previous_timesteps");
  in.erase("step_noise");
  refused("importance=sampled", "step needs the tensor 'step_noise'");
}

TEST_CASE("step: full dpo starts at log 2, since the frozen copy is the policy") {
  const fs::path out = fresh_folder("step_full_dpo") / "out.safetensors";
  const auto ran = palate_step(model() + " --full --objective dpo --out" + quoted(out));
  REQUIRE_MESSAGE(ran.status == 0, ran.error);
  CHECK(SafetensorsFile(out).tensor("loss").item<double>() == doctest::Approx(std::log(2.0)));
}

TEST_CASE("step: mistakes exit with 2 and one sentence") {
  const std::string out = " --out" + quoted(fresh_folder("step_wrong") / "out.safetensors");
  const auto wrong = [&](const std::string& arguments, const std::string& words) {
    const auto ran = palate_step(arguments + out);
    INFO(ran.error);
    CHECK(ran.status == 2);
    CHECK(ran.error.find(words) != std::string::npos);
  };
  wrong(model() + lora() + " --objective dop", "did you mean");
  wrong(model() + lora() + " --objective dpo btea=3", "objective.beta");
  wrong(model() + " --objective dpo", "--lora FILE, or --full");
  wrong(model() + lora() + " --objective dpo reference=cached", "cannot be cached");
  wrong(model() + " --lora" + quoted(golden("objective_batch.safetensors")) + " --objective dpo", "have no home in this model");
  wrong(model() + lora() + " --objective kto", "'latents_win' is of a pair, and this loss takes single pictures");
  wrong("--model" + quoted(golden("tiny_model")) + lora() + " --objective dpo --in" + quoted(golden("lora_outputs.safetensors")),
        "latents_win");
}

TEST_CASE("step: noise-conditioned perception by its preset, at t - 1 or where features_timesteps says, and t = 0") {
  const fs::path folder = fresh_folder("step_perceptual");
  const GoldenFile golden_values("perceptual_expected.safetensors");
  const auto step = [&](const std::map<std::string, Tensor>& in, const std::string& settings) {
    save_safetensors(folder / "in.safetensors", in);
    return palate_step("--model" + quoted(golden("tiny_model")) + " --in" + quoted(folder / "in.safetensors") + lora() + settings +
                       " --out" + quoted(folder / "out.safetensors"));
  };
  auto in = load_golden("perceptual_batch.safetensors");
  // A file that names t' asks for the uniform variant.
  auto ran = step(in, " --objective dpo error_space=perceptual beta=2");
  REQUIRE_MESSAGE(ran.status == 0, ran.error);
  golden_values.expect("uniform.logits", SafetensorsFile(folder / "out.safetensors").tensor("logits"), 1e-4);
  in.erase("features_timesteps");
  ran = step(in, " --objective ncp-dpo-sd15 beta=2000");
  REQUIRE_MESSAGE(ran.status == 0, ran.error);
  {
    const SafetensorsFile file(folder / "out.safetensors");
    for (const char* name : {"policy_win", "policy_lose", "reference_win", "reference_lose"})
      golden_values.expect(std::string("mid.") + name, file.tensor(name), 1e-5);
    golden_values.expect("mid.logits", file.tensor("logits"), 1e-5);
    const SafetensorsFile trained(golden("lora_peft.safetensors"));
    for (const auto& name : trained.names()) golden_values.expect("mid.grad." + name, file.tensor("grad." + name), 2e-4);
  }
  in["timesteps"] = torch::zeros({3}, torch::kInt64);
  ran = step(in, " --objective ncp-cpo");
  REQUIRE_MESSAGE(ran.status == 0, ran.error);
  CHECK(SafetensorsFile(folder / "out.safetensors").tensor("policy_win").abs().max().item<double>() == 0);
  in.erase("step_noise");
  ran = step(in, " --objective ncp-sft");
  CHECK(ran.status == 2);
  CHECK(ran.error.find("step_noise: expected the noise z of the step from x_t") != std::string::npos);
  ran = step(in, " --objective ncp-sft features_timesteps=uniform");
  CHECK(ran.status == 2);
  CHECK(ran.error.find("features_timesteps: expected the timestep t' of each example") != std::string::npos);
  ran = step(in, " --objective dpo beta=auto");
  CHECK(ran.status == 2);
  CHECK(ran.error.find("objective.beta is \"auto\"") != std::string::npos);
}

TEST_CASE("step: errors converted from one network output stand in their relations") {
  const fs::path folder = fresh_folder("step_converted");
  auto in = load_golden("objective_batch.safetensors");
  in.erase("preference");
  save_safetensors(folder / "in.safetensors", in);
  const auto errors = [&](const std::string& space) {
    const auto ran = palate_step("--model" + quoted(golden("tiny_model")) + " --in" + quoted(folder / "in.safetensors") + lora() +
                                 " --objective dpo beta=20 error_space=" + space + " --out" + quoted(folder / "out.safetensors"));
    REQUIRE_MESSAGE(ran.status == 0, ran.error);
    return SafetensorsFile(folder / "out.safetensors").tensor("policy_win").clone();
  };
  const Tensor own = errors("output"), beta = torch::linspace(std::sqrt(0.00085), std::sqrt(0.012), 1000, torch::kFloat64).square();
  const Tensor kept = (1 - beta).cumprod(0).index_select(0, in.at("timesteps")).to(torch::kFloat32);
  expect_close("epsilon", errors("epsilon"), own, 0);
  expect_close("x0", errors("x0"), own * (1 - kept) / kept, 1e-4);
  expect_close("v", errors("v"), own / kept, 1e-4);
  expect_close("velocity", errors("velocity"), own * (1 + ((1 - kept) / kept).sqrt()).square(), 1e-4);
}
