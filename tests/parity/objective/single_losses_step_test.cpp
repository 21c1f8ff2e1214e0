// `palate step` on single pictures against the same written out with diffusers + peft (tests/golden/make_single_losses.py).
#include <doctest/doctest.h>
#include <torch/types.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "palate/io/json.h"
#include "palate/io/safetensors.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

namespace fs = std::filesystem;

struct SingleCase {
  const char* name;
  const char* arguments;
  std::vector<std::string> left_away;  // of the batch file
};

const SingleCase single_cases[] = {
    {"kto", "kto beta=20", {"weights", "base_encoder_hidden_states"}},
    {"dco", "dco beta=20", {"prior"}},
    {"dco_snr", "dco beta=20 snr_gamma=5", {"prior"}},
    {"dco_prior", "dco beta=20 snr_gamma=5", {}},
    {"dreambooth", "dreambooth", {}},
    {"dreambooth_snr", "dreambooth snr_gamma=5", {}},
    {"rwr", "rwr temperature=0.5", {"weights"}},
};

// tiny_model with a scheduler of that prediction.
fs::path model_predicting(const std::string& prediction, const fs::path& folder) {
  fs::create_directories(folder / prediction);
  fs::copy(golden("tiny_model"), folder / prediction, fs::copy_options::recursive);
  const fs::path file = folder / prediction / "scheduler" / "scheduler_config.json";
  Json scheduler = read_json(file);
  scheduler["prediction_type"] = prediction;
  fs::remove(file);
  write_json(file, scheduler);
  return folder / prediction;
}

SafetensorsFile step_single(const SingleCase& one, const fs::path& model, const fs::path& folder) {
  TensorMap in = load_golden("single_losses_batch.safetensors");
  for (const auto& name : one.left_away) in.erase(name);
  save_safetensors(folder / "in.safetensors", in);
  const fs::path out = folder / "out.safetensors";
  const std::string command = "'" + program().string() + "' step --model '" + model.string() + "' --lora '" +
                              golden("lora_peft.safetensors").string() + "' --in '" + (folder / "in.safetensors").string() + "' --out '" +
                              out.string() + "' --objective " + one.arguments;
  REQUIRE_MESSAGE(std::system(command.c_str()) == 0, command);
  return SafetensorsFile(out);
}

}  // namespace

TEST_CASE("step: every loss on single pictures equals the formula in Python, epsilon and v, with the gradients of the LoRA") {
  const GoldenFile expected("single_losses_expected.safetensors");
  const fs::path folder = fresh_folder("single_losses_step");
  size_t gradients = 0;
  for (const std::string prediction : {"epsilon", "v_prediction"}) {
    const fs::path model = model_predicting(prediction, folder);
    for (const SingleCase& one : single_cases) {
      const std::string name = prediction + "." + one.name;
      CAPTURE(name);
      const SafetensorsFile got = step_single(one, model, folder);
      expected.expect(prediction + ".policy", got.tensor("policy"));
      for (const char* part : {"loss", "losses", "logits"}) {
        CHECK(got.contains(part) == (expected.values().count(name + "." + part) == 1));
        if (got.contains(part)) expected.expect(name + "." + part, got.tensor(part), 2e-6);
      }
      for (const auto& [key, value] : expected.values()) {
        if (!key.starts_with(name + ".grad.")) continue;
        ++gradients;
        expected.expect(key, got.tensor(key.substr(name.size() + 1)), 1e-5);
      }
    }
  }
  CHECK(gradients == 5 * SafetensorsFile(golden("lora_peft.safetensors")).names().size());
}

TEST_CASE("step: the base's prompts are the policy's where none are given") {
  const GoldenFile expected("single_losses_expected.safetensors");
  const fs::path folder = fresh_folder("single_losses_base");
  const SafetensorsFile with = step_single({"", "dco", {}}, golden("tiny_model"), folder);
  expected.expect("epsilon.reference", with.tensor("reference"));
  const SafetensorsFile without = step_single({"", "dco", {"base_encoder_hidden_states"}}, golden("tiny_model"), folder);
  expected.expect("epsilon.reference_same", without.tensor("reference"));
}
