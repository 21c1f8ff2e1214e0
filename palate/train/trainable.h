// What a run trains: the adapters of a LoRA, or every weight of the denoiser. Trained values are float32; where the model
// computes in bf16 and is trained whole, each weight has a float32 master here, and the model holds its rounding.
#pragma once

#include <c10/core/ScalarType.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "palate/adapters/lora.h"
#include "palate/core/tensor.h"
#include "palate/models/denoiser.h"

namespace palate {

class Trainable {
 public:
  // Freezes the denoiser and hangs adapters on it.
  static Trainable adapters(Denoiser& denoiser, const LoraConfig& config, uint64_t seed);
  // The denoiser, loaded in float32, is brought to `compute` and trained whole.
  static Trainable whole(Denoiser& denoiser, c10::ScalarType compute);

  const std::vector<std::string>& names() const { return names_; }
  const std::vector<Tensor>& values() const { return values_; }  // float32
  int64_t count() const;                                         // numbers in all of them

  void collect();                         // after each backward: takes the gradients that the model holds into float32
  std::vector<Tensor> gradients() const;  // float32, one a value
  void clear_gradients();
  void publish();  // after the values changed: the model computes with them

  void set_training(bool on);
  // Keys of the adapters' dropout masks: one mixed key a row that the denoiser will see.
  void set_dropout_draw(uint64_t seed, const std::vector<uint64_t>& rows);

  // The result: LoRA files in FOLDER, or FOLDER/unet in diffusers' layout (float32).
  void save_result(const std::filesystem::path& folder, const Metadata& metadata) const;
  bool is_lora() const { return lora_.has_value(); }
  const Lora& lora() const { return *lora_; }

 private:
  explicit Trainable(Denoiser& denoiser) : denoiser_(&denoiser) {}
  Denoiser* denoiser_;
  std::optional<Lora> lora_;
  bool dropout_ = false;
  std::vector<std::string> names_;
  std::vector<Tensor> values_, held_, gradients_;  // held_: the model's own tensors; the values themselves but for bf16
};

}  // namespace palate
