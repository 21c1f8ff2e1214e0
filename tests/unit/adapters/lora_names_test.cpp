#include "palate/adapters/lora_names.h"

#include <doctest/doctest.h>

#include "palate/core/generator.h"

using namespace palate;

namespace {

const std::vector<std::string> modules = {"conv_in", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
                                          "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0",
                                          "up_blocks.1.resnets.0.conv_shortcut"};
const ModelLayers model = {
    {"unet", {{modules[0], {}}, {modules[1], {}}, {modules[2], {}}, {modules[3], {}}}},
    {"text_encoder", {{"text_model.encoder.layers.0.self_attn.q_proj", {}}, {"text_model.encoder.layers.0.self_attn.out_proj", {}}}}};
const std::string attn = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.";

void finds(const std::string& key, size_t layer, LoraRole role) {
  INFO(key);
  for (const LoraNames& names : {LoraNames(model), LoraNames()}) {
    const auto found = names.find(key);
    REQUIRE(found.has_value());
    CHECK(found->component == "unet");
    CHECK(found->module == modules[layer]);
    CHECK(found->role == role);
  }
}

void finds(const LoraNames& names, const std::string& key, const std::string& component, const std::string& module) {
  INFO(key);
  const auto found = names.find(key);
  REQUIRE(found.has_value());
  CHECK(found->component == component);
  CHECK(found->module == module);
}

}  // namespace

TEST_CASE("lora names: every spelling of docs/formats.md finds its layer") {
  finds("unet." + attn + "to_q.lora_A.weight", 1, LoraRole::down);
  finds("unet." + attn + "to_q.lora_B.weight", 1, LoraRole::up);
  finds("base_model.model." + attn + "to_out.0.lora_A.default.weight", 2, LoraRole::down);
  finds(attn + "to_q.lora_B.weight", 1, LoraRole::up);
  finds("unet." + attn + "to_out.0.lora.down.weight", 2, LoraRole::down);
  finds("unet." + attn + "to_out.0.lora.up.weight", 2, LoraRole::up);
  finds("unet." + attn + "to_q.lora_linear_layer.up.weight", 1, LoraRole::up);
  finds("unet." + attn + "processor.to_q_lora.down.weight", 1, LoraRole::down);
  finds(attn + "processor.to_out_lora.up.weight", 2, LoraRole::up);
  finds("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0.lora_down.weight", 2, LoraRole::down);
  finds("lora_unet_up_blocks_1_resnets_0_conv_shortcut.lora_up.weight", 3, LoraRole::up);
  finds("lora_unet_conv_in.alpha", 0, LoraRole::alpha);
  finds("unet.conv_in.alpha", 0, LoraRole::alpha);
  finds("lora_unet_conv_in.dora_scale", 0, LoraRole::magnitude);
  finds("lora_unet_conv_in.lora_mid.weight", 0, LoraRole::mid);
  finds("unet." + attn + "to_q.lora_magnitude_vector", 1, LoraRole::magnitude);
  finds("base_model.model." + attn + "to_q.lora_magnitude_vector.default.weight", 1, LoraRole::magnitude);
  finds("unet." + attn + "to_out_lora.down.weight", 2, LoraRole::down);
}

TEST_CASE("lora names: text encoders, in all their spellings") {
  const std::string q = "text_model.encoder.layers.0.self_attn.q_proj", out = "text_model.encoder.layers.0.self_attn.out_proj";
  for (const LoraNames& names : {LoraNames(model), LoraNames()}) {
    finds(names, "text_encoder." + q + ".lora_A.weight", "text_encoder", q);
    finds(names, "text_encoder." + q + ".lora_linear_layer.up.weight", "text_encoder", q);
    finds(names, "text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora.up.weight", "text_encoder", out);
    finds(names, q + ".lora_B.weight", "text_encoder", q);
    finds(names, "text_encoder.encoder.layers.0.self_attn.q_proj.lora_A.weight", "text_encoder", q);  // transformers 5
    finds(names, "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight", "text_encoder", q);
    finds(names, "lora_te1_text_model_encoder_layers_0_self_attn_out_proj.alpha", "text_encoder", out);
    finds(names, "lora_te2_text_model_encoder_layers_31_mlp_fc2.alpha", "text_encoder_2", "text_model.encoder.layers.31.mlp.fc2");
    finds(names, "text_encoder_2.text_projection.lora_A.weight", "text_encoder_2", "text_projection");
  }
  CHECK(LoraNames().find(q + ".lora_A.weight", "text_encoder_2")->component == "text_encoder_2");
  CHECK_FALSE(LoraNames(model).find("lora_te_text_model_encoder_layers_1_self_attn_q_proj.alpha").has_value());
}

TEST_CASE("lora names: sgm blocks of SD1.x and SDXL") {
  const LoraNames any;
  const std::pair<const char*, const char*> cases[] = {
      {"input_blocks_0_0", "conv_in"},
      {"out_2", "conv_out"},
      {"time_embed_0", "time_embedding.linear_1"},
      {"label_emb_0_2", "add_embedding.linear_2"},
      {"input_blocks_1_0_in_layers_2", "down_blocks.0.resnets.0.conv1"},
      {"input_blocks_3_0_op", "down_blocks.0.downsamplers.0.conv"},
      {"input_blocks_4_1_proj_in", "down_blocks.1.attentions.0.proj_in"},
      {"input_blocks_8_1_transformer_blocks_9_attn2_to_out_0", "down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_out.0"},
      {"middle_block_0_emb_layers_1", "mid_block.resnets.0.time_emb_proj"},
      {"middle_block_1_transformer_blocks_0_ff_net_0_proj", "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj"},
      {"middle_block_2_out_layers_3", "mid_block.resnets.1.conv2"},
      {"output_blocks_0_0_skip_connection", "up_blocks.0.resnets.0.conv_shortcut"},
      {"output_blocks_2_1_conv", "up_blocks.0.upsamplers.0.conv"},
      {"output_blocks_5_2_conv", "up_blocks.1.upsamplers.0.conv"},
      {"output_blocks_11_1_transformer_blocks_0_attn1_to_q", "up_blocks.3.attentions.2.transformer_blocks.0.attn1.to_q"},
  };
  for (const auto& [sgm, module] : cases) finds(any, std::string("lora_unet_") + sgm + ".lora_down.weight", "unet", module);
  for (const char* key : {"lora_unet_input_blocks_13_0_in_layers_2.alpha", "lora_unet_input_blocks_1_2_proj_in.alpha",
                          "lora_unet_middle_block_3_proj_in.alpha", "lora_unet_input_blocks_99999999999999999999_0_op.alpha"})
    CHECK_FALSE(any.find(key).has_value());
}

TEST_CASE("lora names: a model's own number of layers a block counts in its sgm names") {
  const ModelLayers one_layer = {
      {"unet", {{"down_blocks.0.resnets.0.conv1", {}}, {"down_blocks.1.attentions.0.proj_in", {}}, {"up_blocks.0.upsamplers.0.conv", {}}}}};
  const LoraNames names(one_layer);
  finds(names, "lora_unet_input_blocks_3_1_proj_in.alpha", "unet", "down_blocks.1.attentions.0.proj_in");
  CHECK_FALSE(names.find("lora_unet_input_blocks_4_1_proj_in.alpha").has_value());
  CHECK(sgm_names(one_layer.at("unet")).at("up_blocks.0.upsamplers.0.conv") == "output_blocks.1.1.conv");
}

TEST_CASE("lora names: what is not ours has no home") {
  const LoraNames names(model);
  for (const char* key :
       {"", ".", ".alpha", "alpha", ".lora_A.weight", "unet.", "unet.conv_in.weight", "unet.conv_in.lora_A",
        "unet.conv_in.lora_A.a.b.weight", "unet.conv_in.lora_A..weight", "text_encoder.conv_in.lora_A.weight", "lora_te_conv_in.alpha",
        "unet.conv_out.lora_A.weight", "lora_unet_conv_in.hada_w1_a", "lora_unet_conv_in.lokr_w1", "unet.conv_in.diff",
        "processor.to_q_lora.down.weight", "x_lora.up.weight", "lora_unet_conv.in.alpha"}) {
    INFO(key);
    CHECK_FALSE(names.find(key).has_value());
  }
}

TEST_CASE("lora names: mutated keys never crash, and find a layer only when they still name it") {
  const LoraNames names(model);
  const std::vector<std::string> seeds = {"unet." + attn + "to_q.lora_A.weight",
                                          "base_model.model." + attn + "to_out.0.lora_B.default.weight",
                                          "unet." + attn + "processor.to_out_lora.up.weight",
                                          "lora_unet_conv_in.lora_down.weight",
                                          "lora_unet_conv_in.alpha",
                                          "unet.conv_in.lora.down.weight"};
  const std::string alphabet = "._abAB0xlor\xff";
  Generator random({1, 2, 3, Purpose::test});
  int homes = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string key = seeds[static_cast<size_t>(random.below(static_cast<int64_t>(seeds.size())))];
    for (int64_t edits = random.below(3); edits >= 0; --edits) {
      const auto at = static_cast<size_t>(random.below(static_cast<int64_t>(key.size()) + 1));
      const char letter = alphabet[static_cast<size_t>(random.below(static_cast<int64_t>(alphabet.size())))];
      switch (random.below(5)) {
        case 0:
          key.insert(at, 1, letter);
          break;
        case 1:
          key.erase(at, static_cast<size_t>(random.below(4)));
          break;
        case 2:
          if (at < key.size()) key[at] = letter;
          break;
        case 3:
          key = key.substr(0, at);
          break;
        default:
          key += key.substr(at);
          break;
      }
    }
    if (const auto found = names.find(key)) {
      ++homes;
      // A key that finds a layer holds the layer's last word, in dots or underscores.
      const std::string& module = found->module;
      const std::string word = module.ends_with("to_out.0") ? "to_out" : module.substr(module.rfind('.') + 1);
      INFO(key, " found ", module);
      CHECK(key.find(word) != std::string::npos);
    }
  }
  CHECK(homes > 100);  // edits inside the adapter's name, for one, keep the home
}

TEST_CASE("lora targets: the end of a name at a dot, or a pattern") {
  CHECK(matches_target("a.attn1.to_q", "to_q"));
  CHECK(matches_target("to_q", "to_q"));
  CHECK(matches_target("a.to_out.0", "to_out.0"));
  CHECK_FALSE(matches_target("a.add_to_q", "to_q"));
  CHECK_FALSE(matches_target("a.to_q.b", "to_q"));
  CHECK(matches_target("a.attn1.to_q", "*attn1*"));
  CHECK(matches_target("a.attn1.to_q", "a.*.to_*"));
  CHECK_FALSE(matches_target("a.attn2.to_q", "*attn1*"));
  CHECK_FALSE(matches_target("a.attn1.to_q", "attn1*"));
}
