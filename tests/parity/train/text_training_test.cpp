// Gradients of a LoRA on the text encoders and of a new word, through the U-Net's loss, against peft and transformers:
// golden/make_text_training.py.
#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/pipeline/pipeline.h"
#include "palate/train/text_training.h"
#include "tests/support/calm_model.h"
#include "tests/support/expect_close.h"
#include "tests/support/golden_file.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;

namespace {

TextConfig with_word() {
  TextConfig config;
  config.lora = true;
  config.word = "<toy>";
  config.initializer = "cat";
  config.vectors = 2;
  return config;
}

}  // namespace

TEST_CASE("text training: every gradient equals peft's, with one text encoder and with two") {
  const GoldenFile golden("text_training.safetensors");
  for (const std::string label : {"sd", "xl"}) {
    CAPTURE(label);
    Pipeline pipeline(calm_model(label == "sd" ? "tiny_pipeline" : "tiny_pipeline_xl"));
    LoraConfig lora;
    lora.rank = 3;
    TextTraining training(pipeline.prompt_encoder(), with_word(), lora, 7);
    {
      const torch::NoGradGuard no_grad;
      for (size_t i = 0; i < training.group().names.size(); ++i)
        Tensor(training.group().values[i]).copy_(golden.at(label + ".value." + training.group().names[i]));
    }
    Condition condition = training.condition({"a photo of <toy>", "two <toy> circles"});
    golden.expect(label + ".text", condition["encoder_hidden_states"]);
    if (label == "xl") condition.set("time_ids", torch::tensor({16.F, 16.F, 0.F, 0.F, 16.F, 16.F}).expand({2, 6}));
    const Tensor loss =
        (pipeline.denoiser().predict(golden.at(label + ".x"), golden.at(label + ".t"), condition) - golden.at(label + ".target"))
            .square()
            .mean();
    golden.expect(label + ".loss", loss);
    loss.backward();
    std::vector<Tensor> gradients;
    for (const auto& value : training.group().values) gradients.push_back(value.grad());
    size_t zero = 0;
    for (size_t i = 0; i < gradients.size(); ++i) {
      const std::string& name = training.group().names[i];
      const std::string key = label + ".gradient." + name;
      if (golden.at(key).abs().max().item<double>() == 0) {  // SDXL does not read the last layer of its first text encoder
        ++zero;
        CHECK((!gradients[i].defined() || gradients[i].abs().max().item<double>() == 0));
      } else {
        golden.expect(key, gradients[i], 2e-6);
      }
    }
    CHECK(zero == (label == "sd" ? 0 : 8));
  }
}

// The vectors keep the length that they began with, whatever the optimizer did; their direction is what is learned.
TEST_CASE("text training: a word begins as its initializer's vectors and keeps their norm") {
  Pipeline pipeline(test::golden("tiny_pipeline"));
  TextConfig config = with_word();
  config.lora = false;
  const Condition cat = pipeline.encode_prompts({"a cat cat"});
  TextTraining training(pipeline.prompt_encoder(), config, {}, 7);
  REQUIRE(training.group().names == std::vector<std::string>{"text_encoder.token_embedding"});
  REQUIRE(pipeline.prompt_encoder().tokenizer(0).tokens("cat").size() == 1);
  expect_close("as the initializer", training.condition({"a <toy>"})["encoder_hidden_states"], cat["encoder_hidden_states"], 1e-5);
  Tensor value = training.group().values[0];
  const Tensor norm = value.detach().norm(2, 1), before = value.detach().clone();
  {
    const torch::NoGradGuard no_grad;
    value.add_(torch::arange(value.numel()).view(value.sizes()) * 0.1);
  }
  training.keep_norms();
  expect_close("norm", value.detach().norm(2, 1), norm, 1e-5);
  CHECK((value.detach() - before).abs().max().item<double>() > 0.01);
}
