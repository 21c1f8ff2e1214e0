// LoRA: W + (alpha / rank) B A on linear layers and on convolutions of any kernel size (A carries the kernel, B is 1x1).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "palate/adapters/model_layers.h"
#include "palate/config/fields.h"
#include "palate/core/tensor.h"
#include "palate/io/safetensors.h"

namespace torch::nn {
class Module;
}

namespace palate {

struct LoraFile;

struct LoraConfig {
  int64_t rank = 8;
  double alpha = 0;
  double dropout = 0;
  std::vector<std::string> targets = {"to_q", "to_k", "to_v", "to_out.0"};

  void visit(Fields& f);  // adapters/lora_config.cpp
};

// The adapters of one model. Trained tensors are float32 on the model's device.
class Lora {
 public:
  // Hangs fresh adapters on every layer whose name ends with a target (or matches it, `*` being any text). A ~ N(0, 1/rank^2)
  // as peft's "gaussian", keyed by `seed` and the layer's name; B = 0. UsageError when a target matches no layer.
  static Lora inject(torch::nn::Module& model, const LoraConfig& config, uint64_t seed);
  // From a file in any spelling of docs/formats.md, section 7, for Linear and Conv2d, DoRA and LoCon among them. UsageError names keys that
  // found no home, and refuses a file that also adapts another component: for those, read_lora and hang each component's part.
  static Lora load(torch::nn::Module& model, const std::filesystem::path& file, double weight = 1.0);
  // One component's part of what read_lora gave. At a weight between 0 and 1 a DoRA goes linearly from the base to its own.
  static Lora hang(torch::nn::Module& model, const LoraFile& lora, const std::string& component, double weight = 1.0);

  ~Lora();
  Lora(Lora&&) noexcept;
  Lora& operator=(Lora&&) noexcept;
  void remove();                   // takes the adapters off for good
  void set_weight(double weight);  // scales the adapters' effect; 1 as trained
  void set_adapter_set(int set);   // 0 to 63, 0 at first: what AdaptersOnly (nn/adaptable.h) tells it from other LoRAs by

  // "down_blocks.0...to_q.lora_A.weight" -> tensor, in a fixed order: what the optimizer trains and the checkpoint keeps.
  std::vector<std::pair<std::string, Tensor>> parameters() const;
  // Dropout masks are keyed by sample, so they do not depend on the batch split. One id a row of the batch.
  void set_dropout_draw(uint64_t seed, const std::vector<uint64_t>& sample_ids, uint64_t draw);
  void set_training(bool on);  // dropout only while training
  int64_t layers() const;

  // FOLDER/pytorch_lora_weights.safetensors (diffusers, with alpha in lora_adapter_metadata) and
  // FOLDER/pytorch_lora_weights.kohya.safetensors with explicit .alpha.
  void save(const std::filesystem::path& folder, const Metadata& metadata = {}) const;
  // The same of several components of one model ("unet", "text_encoder", "text_encoder_2") in one file.
  static void save(const std::filesystem::path& folder, const std::map<std::string, const Lora*>& components,
                   const Metadata& metadata = {});

 private:
  struct State;
  explicit Lora(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// "unet", or "text_encoder" for a model whose layers are called as CLIP's are.
std::string lora_component(torch::nn::Module& model);

// What read_lora needs to know of a model that is in memory.
LayerShapes adaptable_shapes(torch::nn::Module& model);

}  // namespace palate
