// What a run trains of the network: the adapters of a LoRA, or every weight. Trained values are float32; where the model computes in
// bf16 and is trained whole, each weight has a float32 master here, and the model holds its rounding.
#pragma once

#include <c10/core/ScalarType.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "palate/adapters/lora.h"
#include "palate/models/denoiser.h"
#include "palate/train/parameters.h"

namespace palate {

class Trainable {
 public:
  // Freezes the denoiser and hangs adapters on it.
  static Trainable adapters(Denoiser& denoiser, const LoraConfig& config, uint64_t seed);
  // The denoiser, loaded in float32, is brought to `compute` and trained whole.
  static Trainable whole(Denoiser& denoiser, c10::ScalarType compute);

  const Parameters::Group& group() const { return group_; }
  const Lora& lora() const { return *lora_; }

  void set_training(bool on);
  // Keys of the adapters' dropout masks: one mixed key a row that the denoiser will see.
  void set_dropout_draw(uint64_t seed, const std::vector<uint64_t>& rows);

  // Of a denoiser that is trained whole: FOLDER in diffusers' layout (float32), and the values back from it.
  void write(const std::filesystem::path& folder) const;
  void read(const std::filesystem::path& folder) const;

 private:
  explicit Trainable(Denoiser& denoiser) : denoiser_(&denoiser) {}
  Denoiser* denoiser_;
  std::optional<Lora> lora_;
  bool dropout_ = false;
  Parameters::Group group_;
};

}  // namespace palate
