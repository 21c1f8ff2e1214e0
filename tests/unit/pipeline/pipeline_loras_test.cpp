// LoRAs on a whole pipeline.
#include "palate/pipeline/pipeline_loras.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "palate/core/error.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

Tensor wave(std::vector<int64_t> sizes, double phase) {
  return (torch::arange(c10::multiply_integers(sizes)).to(torch::kFloat32) * 0.7 + phase).cos().mul(0.2).view(sizes);
}

// Rank 2 on all of the network's queries.
LoraFile some_lora(Pipeline& pipeline, double phase) {
  LoraFile lora;
  lora.origin = "some";
  for (const auto& [name, shape] : adaptable_shapes(pipeline.denoiser().module())) {
    if (name.ends_with("to_q"))
      lora.components[pipeline.denoiser_component()][name] = {wave({2, shape[1]}, phase), wave({shape[0], 2}, phase + 1), {}, 2};
  }
  return lora;
}

}  // namespace

TEST_CASE("pipeline loras: hung on the denoiser and the text encoder, and gone when they go") {
  const fs::path file = fresh_folder("pipeline_loras") / "both.safetensors";
  Pipeline pipeline(golden("tiny_pipeline"));
  const Tensor states = pipeline.encode_prompts({"a cat"})["encoder_hidden_states"];
  LoraFile lora = some_lora(pipeline, 1);
  const auto text = adaptable_shapes(pipeline.prompt_encoder().encoder(0).module());
  const auto& [layer, shape] = *text.begin();
  lora.components["text_encoder"][layer] = {wave({1, shape[1]}, 3), wave({shape[0], 1}, 4), {}, 1};
  write_lora(file, lora, LoraSpelling::diffusers);
  auto hung = hang_loras(pipeline, {{file, 1}});
  CHECK(hung.size() == 2);
  CHECK_FALSE(torch::equal(pipeline.encode_prompts({"a cat"})["encoder_hidden_states"], states));
  for (Lora& one : hung) one.remove();
  expect_equal("without", pipeline.encode_prompts({"a cat"})["encoder_hidden_states"], states);
  CHECK(hang_loras(pipeline, {}).empty());
}

TEST_CASE("pipeline loras: two are zipped on pictures of their own") {
  Pipeline pipeline(golden("tiny_pipeline"));
  const ZipSubject content{some_lora(pipeline, 1), "a circle"}, style{some_lora(pipeline, 5), "in red"};
  const ZipPictures pictures{.count = 1, .sample_steps = 2, .seed = 3};
  std::vector<ZipLoss> losses;
  const auto zip = [&](int64_t steps) {
    losses.clear();
    return zip_loras(pipeline, content, style, {.steps = steps, .learning_rate = 0.05}, pictures,
                     [&](int64_t, const ZipLoss& loss) { losses.push_back(loss); });
  };
  const LoraFile zipped = zip(8);
  CHECK(zipped.size() == content.lora.size());
  REQUIRE(losses.size() == 8);
  CHECK(losses.back().content + losses.back().style < losses.front().content + losses.front().style);
  CHECK(compare_loras(zip(8), zipped) == 0);  // keyed by the seed
  ZipSubject dora = content;
  dora.lora.components.begin()->second.begin()->second.magnitude = torch::ones({1, 1});
  CHECK_THROWS_AS(zip_loras(pipeline, dora, style, {}, pictures), UsageError);
}
