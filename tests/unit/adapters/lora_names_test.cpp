#include "palate/adapters/lora_names.h"

#include <doctest/doctest.h>

#include "palate/core/generator.h"

using namespace palate;

namespace {

const std::vector<std::string> modules = {"conv_in", "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
                                          "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0", "up_blocks.1.resnets.0.conv_shortcut"};
const std::string attn = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.";

void finds(const std::string& key, size_t layer, LoraRole role) {
  INFO(key);
  const auto found = LoraNames(modules).find(key);
  REQUIRE(found.has_value());
  CHECK(found->layer == layer);
  CHECK(found->role == role);
}

}  // namespace

TEST_CASE("lora names: every spelling of formats.md 7.3 finds its layer") {
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
}

TEST_CASE("lora names: what is not ours has no home") {
  const LoraNames names(modules);
  for (const char* key : {"", ".", ".alpha", "alpha", ".lora_A.weight", "unet.", "unet.conv_in.weight", "unet.conv_in.lora_A", "unet.conv_in.lora_A.a.b.weight",
                          "unet.conv_in.lora_A..weight", "text_encoder.conv_in.lora_A.weight", "lora_te_conv_in.alpha", "unet.conv_out.lora_A.weight",
                          "lora_unet_conv_in.dora_scale", "conv_in.lora_magnitude_vector", "processor.to_q_lora.down.weight", "x_lora.up.weight",
                          "lora_unet_conv.in.alpha"}) {
    INFO(key);
    CHECK_FALSE(names.find(key).has_value());
  }
}

TEST_CASE("lora names: mutated keys never crash, and find a layer only when they still name it") {
  const LoraNames names(modules);
  const std::vector<std::string> seeds = {"unet." + attn + "to_q.lora_A.weight", "base_model.model." + attn + "to_out.0.lora_B.default.weight",
                                          "unet." + attn + "processor.to_out_lora.up.weight", "lora_unet_conv_in.lora_down.weight", "lora_unet_conv_in.alpha",
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
        case 0: key.insert(at, 1, letter); break;
        case 1: key.erase(at, static_cast<size_t>(random.below(4))); break;
        case 2: if (at < key.size()) key[at] = letter; break;
        case 3: key = key.substr(0, at); break;
        default: key += key.substr(at); break;
      }
    }
    if (const auto found = names.find(key)) {
      ++homes;
      // A key that finds a layer holds the layer's last word, in dots or underscores.
      const std::string& module = modules[found->layer];
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
