// LoRA files apart from a model: DoRA and LoCon on reading, patterns, and every spelling written and read again.
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/adapters/lora_alpha.h"
#include "palate/adapters/lora_file.h"
#include "palate/core/error.h"
#include "palate/io/json.h"
#include "tests/support/expect_close.h"
#include "tests/support/paths.h"

using namespace palate;
using namespace palate::test;
namespace fs = std::filesystem;

namespace {

const std::string q = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", conv = "down_blocks.0.resnets.0.conv1",
                  te = "text_model.encoder.layers.0.self_attn.q_proj";

// Ranks and alphas that differ, on a linear layer, a kernel and a text encoder.
LoraFile some_lora() {
  LoraFile lora;
  lora.origin = "some";
  lora.components["unet"][q] = {wave({2, 5}, 1), wave({6, 2}, 2), {}, 3};
  lora.components["unet"][conv] = {wave({4, 2, 3, 3}, 3), wave({3, 4, 1, 1}, 4), {}, 1.5};
  lora.components["text_encoder"][te] = {wave({2, 4}, 5), wave({4, 2}, 6), {}, 2};
  return lora;
}

LoraFile written_and_read(const LoraFile& lora, LoraSpelling spelling) {
  const fs::path path = fresh_folder("lora_spelling") / (spelling == LoraSpelling::peft ? "peft" : "x.safetensors");
  write_lora(path, lora, spelling);
  const LoraFile again = read_lora(path);
  CHECK(again.homeless.empty());
  return again;
}

LoraFile read_tensors(const TensorMap& tensors, const Metadata& metadata = {}) {
  const fs::path path = fresh_folder("lora_tensors") / "x.safetensors";
  save_safetensors(path, tensors, metadata);
  return read_lora(path);
}

}  // namespace

TEST_CASE("lora spelling: every spelling keeps every delta-W to the bit") {
  const LoraFile lora = some_lora();
  for (const auto& name : lora_spellings()) {
    INFO(name);
    const LoraFile again = written_and_read(lora, parse_lora_spelling(name));
    CHECK(again.size() == 3);
    CHECK(compare_loras(lora, again) == 0);
  }
  const LoraFile round =
      written_and_read(written_and_read(written_and_read(lora, LoraSpelling::diffusers), LoraSpelling::kohya), LoraSpelling::diffusers);
  for (const auto& [component, modules] : lora.components) {
    for (const auto& [module, value] : modules)
      expect_equal(module, delta_weight(round.components.at(component).at(module)), delta_weight(value));
  }
  CHECK_THROWS_WITH_AS(parse_lora_spelling("kohja"), doctest::Contains("did you mean 'kohya'?"), UsageError);
}

TEST_CASE("lora spelling: shapes that no layer has are refused, however small the file") {
  const std::string name = "lora_unet_down_blocks_0_resnets_0_conv1";
  const auto with = [&](TensorMap more) {
    TensorMap all = {{name + ".lora_down.weight", wave({1, 2, 1, 1}, 1)}, {name + ".lora_up.weight", wave({3, 1, 1, 1}, 2)}};
    all.insert(more.begin(), more.end());
    return all;
  };
  CHECK_NOTHROW(read_tensors(with({{name + ".lora_mid.weight", wave({1, 1, 3, 3}, 3)}})));
  CHECK_THROWS_WITH_AS(read_tensors(with({{name + ".lora_mid.weight", wave({1, 1, 3, 900}, 3)}})), doctest::Contains("at most 32 a side"),
                       UsageError);
  CHECK_THROWS_WITH_AS(read_tensors(with({{name + ".lora_mid.weight", wave({9, 1, 3, 3}, 3)}})), doctest::Contains("[r, r, kh, kw]"),
                       UsageError);
  CHECK_THROWS_WITH_AS(read_tensors(with({{name + ".dora_scale", torch::tensor(1.0F)}})), doctest::Contains("expected 3 values"),
                       UsageError);
}

TEST_CASE("lora spelling: an alpha that no power of two makes even stays with its layer, so no digit changes") {
  LoraFile lora = some_lora();
  lora.components["unet"][conv].alpha = 0.7F;
  const TensorMap kohya = lora_tensors(lora, LoraSpelling::kohya);
  CHECK(kohya.at("lora_unet_down_blocks_0_resnets_0_conv1.alpha").item<float>() == 0.7F);
  CHECK(compare_loras(lora, written_and_read(lora, LoraSpelling::kohya)) == 0);
  // Half precision cannot hold every shifted value: then, too, alphas stay.
  LoraFile half = some_lora();
  for (auto& [name, module] : half.components["unet"]) module.up = (module.up * 1e-7).to(torch::kHalf);
  half.components["unet"][q].alpha = 1;
  half.components["unet"][conv].alpha = 1.0F / 1024;
  CHECK(compare_loras(half, written_and_read(half, LoraSpelling::kohya)) == 0);
}

TEST_CASE("lora spelling: the tensors keep their type, and text encoders their prefix") {
  LoraFile lora = some_lora();
  lora.components["unet"][q].down = lora.components["unet"][q].down.to(torch::kBFloat16);
  CHECK((written_and_read(lora, LoraSpelling::diffusers).components["unet"][q].down.scalar_type() == torch::kBFloat16));
  CHECK(lora_tensors(lora, LoraSpelling::kohya).contains("lora_te_text_model_encoder_layers_0_self_attn_q_proj.alpha"));
  lora.components["text_encoder_2"][te] = lora.components["text_encoder"][te];
  const TensorMap two = lora_tensors(lora, LoraSpelling::kohya);
  CHECK(two.contains("lora_te1_text_model_encoder_layers_0_self_attn_q_proj.alpha"));
  CHECK(two.contains("lora_te2_text_model_encoder_layers_0_self_attn_q_proj.alpha"));
  CHECK(lora_tensors(lora, LoraSpelling::kohya_sgm).contains("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.alpha"));
  CHECK(lora_tensors(lora, LoraSpelling::kohya_sgm).contains("lora_unet_input_blocks_1_0_in_layers_2.alpha"));
}

TEST_CASE("lora spelling: peft's configuration names what differs") {
  const Json config = parse_json(lora_metadata(some_lora(), LoraSpelling::diffusers).at("lora_adapter_metadata"), "metadata");
  CHECK(config["text_encoder.r"] == 2);
  CHECK(config["unet.rank_pattern"].size() == 1);
  CHECK(config["unet.alpha_pattern"].size() == 1);
  written_and_read(some_lora(), LoraSpelling::peft);
  const fs::path folder = fresh_folder("lora_peft");
  LoraFile one = some_lora();
  one.components.erase("text_encoder");
  write_lora(folder, one, LoraSpelling::peft);
  const Json alone = read_json(folder / "adapter_config.json");
  CHECK(alone["peft_type"] == "LORA");
  CHECK(alone["target_modules"] == Json::parse(concat("[\"", conv, "\", \"", q, "\"]")));
  CHECK(read_lora(folder).spelling == "peft");
}

TEST_CASE("lora spelling: LoCon's middle kernel is the product of three convolutions") {
  const Tensor down = wave({3, 2, 1, 1}, 1), mid = wave({3, 3, 3, 3}, 2), up = wave({4, 3, 1, 1}, 3);
  const std::string name = "lora_unet_down_blocks_0_resnets_0_conv1";
  const LoraFile lora = read_tensors({{name + ".lora_down.weight", down},
                                      {name + ".lora_mid.weight", mid},
                                      {name + ".lora_up.weight", up},
                                      {name + ".alpha", torch::tensor(1.5F)}});
  const LoraModule& module = lora.components.at("unet").at(conv);
  CHECK(module.rank() == 3);
  const Tensor x = wave({1, 2, 5, 6}, 4);
  const Tensor expected = at::conv2d(at::conv2d(at::conv2d(x, down), mid), up) * 0.5;
  expect_close("output", at::conv2d(x, delta_weight(module)), expected, 1e-5);
  CHECK_THROWS_WITH_AS(
      read_tensors(
          {{name + ".lora_down.weight", down}, {name + ".lora_mid.weight", wave({3, 2, 3, 3}, 2)}, {name + ".lora_up.weight", up}}),
      doctest::Contains("expected [r, r, kh, kw]"), UsageError);
}

TEST_CASE("lora spelling: DoRA gives each output, or each input, the norm of its magnitude") {
  const std::string name = "unet.conv_in";
  const Tensor weight = wave({6, 5}, 9), magnitude = wave({6}, 7).abs() + 0.5;
  const LoraFile lora = read_tensors({{name + ".lora_A.weight", wave({2, 5}, 1)},
                                      {name + ".lora_B.weight", wave({6, 2}, 2)},
                                      {name + ".lora_magnitude_vector", magnitude}});
  CHECK(lora.has_dora());
  const LoraModule& module = lora.components.at("unet").at("conv_in");
  expect_close("norms", at::linalg_vector_norm(weight + delta_weight(module, weight), 2, at::IntArrayRef{1}), magnitude, 1e-6);
  CHECK_THROWS_WITH_AS(delta_weight(module), doctest::Contains("--model"), UsageError);
  for (const auto& spelling : lora_spellings()) CHECK(compare_loras(lora, written_and_read(lora, parse_lora_spelling(spelling))) == 0);

  const Tensor of_inputs = wave({1, 5}, 7).abs() + 0.5;
  const LoraFile other = read_tensors({{"lora_unet_conv_in.lora_down.weight", wave({2, 5}, 1)},
                                       {"lora_unet_conv_in.lora_up.weight", wave({6, 2}, 2)},
                                       {"lora_unet_conv_in.dora_scale", of_inputs}});
  const LoraModule& second = other.components.at("unet").at("conv_in");
  expect_close("norms of inputs", at::linalg_vector_norm(weight + delta_weight(second, weight), 2, at::IntArrayRef{0}), of_inputs.flatten(),
               1e-6);
  CHECK(compare_loras(other, written_and_read(other, LoraSpelling::kohya)) == 0);
  CHECK_THROWS_WITH_AS(lora_tensors(other, LoraSpelling::diffusers), doctest::Contains("--to kohya"), UsageError);
}

TEST_CASE("lora spelling: keys without a home are listed, whatever they are") {
  const LoraFile lora = read_tensors({{"lora_unet_conv_in.lora_down.weight", wave({2, 5}, 1)},
                                      {"lora_unet_conv_in.lora_up.weight", wave({6, 2}, 2)},
                                      {"lora_unet_conv_in.hada_w1_a", wave({2, 2}, 1)},
                                      {"lora_unet_no_such_layer.alpha", torch::tensor(1.0F)}});
  CHECK(lora.homeless.size() == 2);
  CHECK_THROWS_WITH_AS(refuse_homeless(lora, "this model"),
                       doctest::Contains("2 of 4 keys have no home in this model: lora_unet_conv_in.hada_w1_a"), UsageError);
  CHECK_THROWS_WITH_AS(read_tensors({{"weight", wave({2, 2}, 1)}}), doctest::Contains("1 of 1 keys have no home"), UsageError);
}

TEST_CASE("lora spelling: compare sees a changed digit, a missing module, another magnitude") {
  const LoraFile a = some_lora();
  LoraFile b = some_lora();
  std::string worst;
  b.components["unet"][q].up = b.components["unet"][q].up * (1 + 1e-6);
  CHECK(compare_loras(a, b, &worst) > 0);
  CHECK(worst == "unet." + q);
  b.components.erase("text_encoder");
  CHECK(std::isinf(compare_loras(a, b)));
  CHECK(std::isinf(compare_loras(b, a)));
}

TEST_CASE("lora spelling: patterns of peft are ends of names; the first that fits counts; other signs are refused") {
  CHECK(matches_peft_pattern(q, "to_q", "x"));
  CHECK(matches_peft_pattern(q, "attn1\\.to_q", "x"));
  CHECK(matches_peft_pattern(q, "^" + q, "x"));
  CHECK(matches_peft_pattern(q, "attn1.*", "x"));
  CHECK(matches_peft_pattern(q, ".*attn1.*$", "x"));
  CHECK_FALSE(matches_peft_pattern(q, "^to_q", "x"));
  CHECK_FALSE(matches_peft_pattern(q, "o_q", "x"));
  CHECK_THROWS_WITH_AS(matches_peft_pattern(q, "(a*)*", "meta"), doctest::Contains("meta: the pattern '(a*)*'"), UsageError);
  const TensorMap tensors = {{"unet." + q + ".lora_A.weight", wave({2, 5}, 1)}, {"unet." + q + ".lora_B.weight", wave({6, 2}, 2)}};
  const LoraFile lora =
      read_tensors(tensors, {{"lora_adapter_metadata", R"({"unet.lora_alpha": 3, "unet.alpha_pattern": {"attn1.to_q": 8, "to_q": 1}})"}});
  CHECK(lora.components.at("unet").at(q).alpha == 8);
}
