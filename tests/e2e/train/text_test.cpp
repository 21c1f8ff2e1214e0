// Training the text encoders and a new word beside the U-Net.
#include <doctest/doctest.h>

#include "palate/io/safetensors.h"
#include "palate/train/checkpoint.h"
#include "tests/e2e/train/tiny_run.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

ProcessResult sample(const TinyRun& tiny, const std::string& model, const std::string& out, const std::vector<std::string>& more) {
  std::vector<std::string> all = {
      "sample", "--model", model, "--prompt", "a photo of <toy>", "--steps", "2", "--out", tiny.output(out).string()};
  all.insert(all.end(), more.begin(), more.end());
  return run_program(all);
}

}  // namespace

TEST_CASE("text: LoRA on the text encoders and a new word, resumed to the bit; their files load") {
  for (const std::string family : {"tiny_pipeline", "tiny_pipeline_xl"}) {
    CAPTURE(family);
    const TinyRun tiny("text_" + family);
    const std::string model = (repository() / "tests/golden" / family).string();
    const std::vector<std::string> settings = {"model=" + model,       "text.lora=true", "text.word=<toy>",
                                               "text.initializer=cat", "text.vectors=2", "text.lr=1e-2"};
    const auto with = [&](std::vector<std::string> more) {
      more.insert(more.begin(), settings.begin(), settings.end());
      return more;
    };
    const auto whole = tiny.train("whole", with({}));
    INFO(whole.err);
    REQUIRE(whole.status == 0);
    REQUIRE(tiny.train("parts", with({"train.steps=7"})).status == 0);
    fs::remove_all(checkpoint_path(tiny.output("parts"), 7));  // on from step 4
    REQUIRE(tiny.train("parts", with({"resume=latest"})).status == 0);
    expect_same_run(tiny.output("parts"), tiny.output("whole"), 12);
    const fs::path result = tiny.output("whole") / "pytorch_lora_weights.safetensors",
                   word = tiny.output("whole") / "learned_embeds.safetensors";
    const SafetensorsFile lora(result), embedding(word);
    int text = 0, text_2 = 0, unet = 0;
    for (const auto& name : lora.names())
      (name.starts_with("text_encoder_2.") ? text_2 : name.starts_with("text_encoder.") ? text : unet) += 1;
    CHECK(text == 16);  // two layers of four, A and B
    CHECK(text_2 == (family == "tiny_pipeline" ? 0 : 24));
    CHECK(unet > 0);
    CHECK(embedding.contains(family == "tiny_pipeline" ? "<toy>" : "clip_g"));
    const auto made = sample(tiny, model, "with",
                             {"--lora", result.string(), "--embedding", word.string() + (family == "tiny_pipeline" ? "" : "=<toy>")});
    INFO(made.err);
    REQUIRE(made.status == 0);
    REQUIRE(sample(tiny, model, "without", {}).status == 0);
    CHECK(read_text(tiny.output("with") / "00000.png") != read_text(tiny.output("without") / "00000.png"));
  }
}

TEST_CASE("text: settings that cannot be are refused before anything is made") {
  const TinyRun tiny("text_refused");
  for (const auto& [settings, message] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"text.word=<toy>"}, "text.initializer"},
           {{"text.lora=true", "full=true", "objective.reference=frozen_copy"}, "text.lora = false"},
           {{"text.lora=true", "text.targets=[to_q]"}, "to_q"},
           {{"objective.timesteps=turbo", "objective.turbo_timesteps=[5000]"}, "turbo_timesteps: 5000 is not within"},
       }) {
    const auto run = tiny.train("x", settings);
    CAPTURE(message);
    INFO(run.err);
    CHECK(run.status == 2);
    CHECK(run.err.find(message) != std::string::npos);
    CHECK_FALSE(fs::exists(tiny.output("x") / "cache"));
  }
}

TEST_CASE("text: sample grids are drawn with the text encoders as they are trained") {
  const TinyRun tiny("text_grid");
  const auto grids_differ = [&](const std::string& name, const std::string& rate) {
    const auto run = tiny.train(
        name, {"text.lora=true", "text.lr=" + rate, "optimizer.lr=0", "train.steps=6", "sample.prompts=[\"a thing\"]", "sample.steps=2"});
    INFO(run.err);
    REQUIRE(run.status == 0);
    const fs::path samples = tiny.output(name) / "samples";
    return read_text(samples / "step_000000/grid.png") != read_text(samples / "step_000006/grid.png");
  };
  CHECK_FALSE(grids_differ("still", "1e-12"));
  CHECK(grids_differ("moved", "0.3"));
}
