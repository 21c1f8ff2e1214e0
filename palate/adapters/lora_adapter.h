// One layer's adapter, and what Lora knows of each layer. Private to adapters/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "palate/adapters/lora.h"
#include "palate/nn/adaptable.h"

namespace palate {

// What keys the dropout masks of one forward pass; one object for all adapters of a Lora.
struct DropoutDraw {
  uint64_t seed = 0, draw = 0;
  std::vector<uint64_t> ids;  // a batch of m * ids.size() rows repeats them, so winner and loser of a pair share a mask
  bool training = false;
};

class LoraAdapter : public Adapter {
 public:
  // `down` [r, in] or [r, in, kh, kw], `up` [out, r] or [out, r, 1, 1]: float32, trained.
  LoraAdapter(const std::string& name, const Adaptable& layer, Tensor down, Tensor up, double alpha);
  Tensor delta(const Tensor& input) override;

  int64_t rank() const { return down.size(0); }

  Tensor down, up;
  double alpha;
  double weight = 1;
  double dropout = 0;
  std::shared_ptr<const DropoutDraw> draw;

 private:
  Tensor dropped(const Tensor& input) const;
  const Adaptable& layer_;  // its owner, so it lives as long
  uint64_t name_hash_;
};

// An update that is no product of two small matrices (DoRA): kept whole, in the layer's own type.
class DenseAdapter : public Adapter {
 public:
  DenseAdapter(const Adaptable& layer, Tensor update);
  Tensor delta(const Tensor& input) override;

  double weight = 1;

 private:
  const Adaptable& layer_;
  Tensor update_;
};

struct DenseLayer {
  Adaptable* layer;
  std::shared_ptr<DenseAdapter> adapter;
};

struct LoraLayer {
  std::string name;  // "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
  Adaptable* layer;
  std::shared_ptr<LoraAdapter> adapter;
};

struct Lora::State {
  LoraConfig config;
  std::vector<LoraLayer> layers;  // in the model's order
  std::vector<DenseLayer> dense;  // frozen: not among the parameters
  std::shared_ptr<DropoutDraw> draw = std::make_shared<DropoutDraw>();

  // Makes the adapter and hangs it on the layer.
  void hang(const std::string& name, Adaptable& layer, const Tensor& down, const Tensor& up, double alpha);
};

// Every layer that can carry an adapter, in the model's order.
struct NamedAdaptable {
  std::string name;
  Adaptable* layer;
};
std::vector<NamedAdaptable> adaptable_layers(torch::nn::Module& model);

}  // namespace palate
