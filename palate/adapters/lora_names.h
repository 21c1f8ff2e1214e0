// The spellings of LoRA keys (reference/formats.md 7.3), for linear layers and convolutions. Private to adapters/.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace palate {

enum class LoraRole { down, up, alpha };

struct LoraKey {
  size_t layer;  // index into the names that LoraNames was made from
  LoraRole role;
};

class LoraNames {
 public:
  explicit LoraNames(const std::vector<std::string>& modules);
  // What a file's key means in this model; nothing for a key that has no home here. Spellings:
  //   [unet.|base_model.model.]MODULE.lora_A[.ADAPTER].weight, .lora_B   diffusers, peft
  //   [unet.]MODULE.lora.down.weight, .lora.up.weight                    older diffusers
  //   [unet.]MODULE.lora_linear_layer.down.weight
  //   [unet.]...attn1.processor.to_q_lora.down.weight                    oldest diffusers; to_out is to_out.0
  //   lora_unet_MODULE_WITH_UNDERSCORES.lora_down.weight, .lora_up.weight, .alpha   kohya
  std::optional<LoraKey> find(std::string_view key) const;

 private:
  std::map<std::string, size_t, std::less<>> dotted_, underscored_;
};

// "a.b.to_q" -> "lora_unet_a_b_to_q"
std::string kohya_name(std::string_view module);

// Whether a layer's name is meant by a target: its end, or, with *, the whole name by pattern.
bool matches_target(std::string_view name, std::string_view target);

}  // namespace palate
