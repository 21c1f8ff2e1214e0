// What palate lora inspects, verifies and writes; and LoRAs on several components at once.
#include "palate/adapters/lora_check.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "palate/adapters/lora_parts.h"
#include "palate/core/error.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"
#include "tests/unit/adapters/toy_model.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

const std::string query = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
                  k = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k",
                  encoder_query = "text_model.encoder.layers.0.self_attn.q_proj";

// Halves of ones: rank 2, alpha 4, so delta-W is 4 / 2 * 2 = 4 everywhere in [3, 5], and its norm is 4 sqrt(15).
LoraModule ones() { return {torch::ones({2, 5}), torch::ones({3, 2}), {}, 4}; }

LoraFile one_layer() {
  LoraFile lora;
  lora.origin = "one";
  lora.components["unet"][query] = ones();
  return lora;
}

const ModelLayers model = {{"unet", {{query, {3, 5}}, {k, {3, 5}}}}};

}  // namespace

TEST_CASE("lora check: what a file holds, in numbers") {
  LoraFile lora = one_layer();
  lora.components["unet"][k] = {torch::ones({1, 5}, torch::kBFloat16), torch::ones({3, 1}, torch::kBFloat16), torch::ones({3, 1}), 2};
  lora.components["text_encoder"][encoder_query] = ones();
  const Json told = describe_lora(lora);
  const Json& unet = told.at("components").at("unet");
  CHECK(unet.at("layers") == 2);
  CHECK(unet.at("ranks") == Json{{"1", 1}, {"2", 1}});
  CHECK(unet.at("alphas") == Json{{"2.0", 1}, {"4.0", 1}});
  CHECK(unet.at("dtypes") == Json{"BFloat16", "Float"});
  CHECK(unet.at("dora_layers") == 1);
  CHECK(unet.at("delta_norm").get<double>() == doctest::Approx(std::sqrt(15 * 16.0 + 15 * 4.0)));  // before DoRA's magnitudes
  CHECK_FALSE(told.at("components").at("text_encoder").contains("dora_layers"));
  CHECK(count_layers(lora) == "text_encoder 1, unet 2");
}

TEST_CASE("lora check: what is written is read again, and a key without a home is refused") {
  const fs::path file = fresh_folder("lora_check") / "a.safetensors";
  write_checked_lora(file, one_layer(), LoraSpelling::kohya, &model);
  CHECK(compare_loras(read_whole_lora(file, &model), one_layer()) == 0);
  const ModelLayers other = {{"unet", {{k, {3, 5}}}}};
  CHECK_THROWS_WITH_AS(read_whole_lora(file, &other), doctest::Contains("have no home in this model"), UsageError);
}

TEST_CASE("lora check: a LoRA is verified against its model") {
  LoraFile lora = one_layer();
  verify_lora(lora, model, "toy");
  CHECK_THROWS_WITH_AS(verify_lora(lora, ModelLayers{{"text_encoder", {{encoder_query, {3, 5}}}}}, "toy"),
                       "one: it adapts unet, which toy does not have", Error);
  lora.components["unet"][query].up[1][1] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH_AS(verify_lora(lora, model, "toy"), doctest::Contains("attn1.to_q has values that are not finite"), Error);
  lora = one_layer();
  lora.homeless = {"lora_nowhere"};
  lora.keys = 3;
  CHECK_THROWS_WITH_AS(verify_lora(lora, model, "toy"), doctest::Contains("1 of 3 keys have no home in toy (lora_nowhere)"), Error);
}

TEST_CASE("lora check: a DoRA with a norm for each input is only spelled as kohya does") {
  LoraFile lora = one_layer();
  CHECK(spellings_for(lora).size() == 4);
  lora.components["unet"][query].magnitude = torch::ones({3, 1});
  CHECK(spellings_for(lora).size() == 4);
  lora.components["unet"][query].magnitude = torch::ones({1, 5});
  const std::vector<LoraSpelling> kohya = {LoraSpelling::kohya, LoraSpelling::kohya_sgm};
  CHECK((spellings_for(lora) == kohya));
}

TEST_CASE("lora parts: each component takes its part of a file, at the choice's weight") {
  const fs::path file = fresh_folder("lora_parts") / "both.safetensors";
  const std::string layer = "blocks.0.to_q";
  LoraFile lora;
  lora.components["unet"][layer] = {torch::ones({1, 5}), torch::ones({6, 1}), {}, 1};
  lora.components["text_encoder"][layer] = {torch::ones({1, 5}), torch::full({6, 1}, -2.0F), {}, 1};
  write_lora(file, lora, LoraSpelling::diffusers);
  ToyModel unet, text;
  const Tensor x = torch::ones({1, 5}), before = unet.to_q->forward(x);
  const auto hung = hang_loras({{"unet", &unet}, {"text_encoder", &text}}, {{file, 0.5}});
  CHECK(hung.size() == 2);
  expect_close("unet", unet.to_q->forward(x), before + 0.5 * 5, 1e-6);  // 5 inputs of 1 through halves of ones
  expect_close("text", text.to_q->forward(x), before - 0.5 * 10, 1e-6);
  ToyModel alone;
  CHECK_THROWS_WITH_AS(hang_loras({{"unet", &alone}}, {{file, 1}}), doctest::Contains("text_encoder"), UsageError);
}
