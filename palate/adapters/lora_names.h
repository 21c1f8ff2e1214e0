// The spellings of LoRA keys (docs/formats.md, section 7), for linear layers and convolutions. Private to adapters/.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "palate/adapters/model_layers.h"

namespace palate {

enum class LoraRole { down, up, mid, magnitude, alpha };

struct LoraKey {
  std::string component, module;  // "unet", "down_blocks.0...to_q"
  LoraRole role;
};

// Block names of kohya's own SDXL files (Stability's "sgm" network), and of old SD files: "input_blocks_4_1_...".
enum class KohyaBlocks { diffusers, sgm };

class LoraNames {
 public:
  // Of no model in particular: dotted names are taken as they stand, underscored ones by the layers of SD1.x, SD2.x and SDXL.
  LoraNames();
  // Of one model. A component that it does not have is read as LoraNames() does.
  explicit LoraNames(const ModelLayers& model);

  // What a file's key means; nothing for a key that has no home. `unprefixed` is the component of names without one; "" tells
  // it by the name. Spellings:
  //   [unet.|text_encoder.|text_encoder_2.|base_model.model.]MODULE.lora_A[.ADAPTER].weight, .lora_B   diffusers, peft
  //   ....lora_magnitude_vector[.ADAPTER][.weight]                       DoRA of peft
  //   [unet.]MODULE.lora.down.weight, .lora.up.weight                    older diffusers
  //   [text_encoder.]MODULE.lora_linear_layer.down.weight
  //   [unet.]...attn1[.processor].to_q_lora.down.weight                  oldest diffusers; to_out is to_out.0
  //   text_encoder....self_attn.to_q_lora.down.weight                    ... of which the layer is q_proj
  //   lora_unet_|lora_te_|lora_te1_|lora_te2_MODULE_WITH_UNDERSCORES.lora_down.weight, .lora_up.weight, .lora_mid.weight,
  //     .alpha, .dora_scale                                              kohya and LyCORIS, blocks named either way
  std::optional<LoraKey> find(std::string_view key, std::string_view unprefixed = "") const;

 private:
  struct Home {
    std::string component, module;
  };
  void add(const std::string& component, const LayerShapes& layers);

  std::map<std::string, LayerShapes, std::less<>> known_;  // of components whose dotted names must be among these
  std::map<std::string, Home, std::less<>> underscored_;   // "unet_down_blocks_0_...": without "lora_"
};

// "unet", "a.b.to_q" -> "lora_unet_a_b_to_q". Text encoders: lora_te_ where the model has one, lora_te1_ and lora_te2_ in SDXL.
std::string kohya_name(std::string_view component, std::string_view module, bool two_text_encoders = false);

// "down_blocks.1.attentions.0.proj_in" -> "input_blocks.4.1.proj_in" for blocks of `layers_per_block`; a name with no counterpart
// stays as it is. `model` tells whether a block has attentions, which moves its upsampler.
std::string sgm_name(const std::string& module, int64_t layers_per_block, bool attention_in_block);

// Of the U-Net with these layers: every module's sgm name.
std::map<std::string, std::string> sgm_names(const LayerShapes& unet);

// Whether a layer's name is meant by a target: its end, or, with *, the whole name by pattern.
bool matches_target(std::string_view name, std::string_view target);

}  // namespace palate
