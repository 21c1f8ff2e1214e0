// AdamW whose moments are held in eight bits (Dettmers et al., 2021, 2110.02861): blocks of 256 values, each scaled by its largest and
// rounded to the nearest of 256 codes; equal to bitsandbytes' AdamW8bit. Tensors of less than 4096 values keep float32 moments.
#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "palate/train/optimizers/constants.h"
#include "palate/train/optimizers/member.h"

namespace palate {
namespace {

constexpr int64_t block = 256, smallest_coded = 4096;

// The dynamic data type: 7 exponents of ten, and within each as many fractions as there are bits left. Sorted.
Tensor dynamic_codes(bool with_sign) {
  std::vector<float> codes = {0, 1};
  for (int i = 0; i < 7; ++i) {
    const int64_t items = (int64_t{1} << (with_sign ? i : i + 1)) + 1;
    const Tensor bounds = torch::linspace(0.1, 1, items, torch::kFloat32);
    const Tensor middles = std::pow(10.0, i - 6) * ((bounds.slice(0, 0, -1) + bounds.slice(0, 1)) / 2);
    for (int64_t k = 0; k < middles.numel(); ++k) {
      codes.push_back(middles[k].item<float>());
      if (with_sign) codes.push_back(-codes.back());
    }
  }
  codes.resize(256, 0.0F);
  std::sort(codes.begin(), codes.end());
  return torch::tensor(codes);
}

// One kind of moment of one value: codes and the largest of each block.
struct Codebook {
  explicit Codebook(bool with_sign) : codes(dynamic_codes(with_sign)), middles((codes.slice(0, 0, -1) + codes.slice(0, 1)) / 2) {}

  Tensor read(const Tensor& packed, const Tensor& largest) const {
    const Tensor units = codes.to(packed.device()).index_select(0, packed.flatten().to(torch::kInt64));
    const Tensor scale = largest.repeat_interleave(block).slice(0, 0, packed.numel());
    return (units * scale).view(packed.sizes());
  }

  void write(const Tensor& moments, Tensor& packed, Tensor& largest) const {
    const Tensor flat = moments.flatten();
    const int64_t missing = largest.numel() * block - flat.numel();
    const Tensor rows = at::constant_pad_nd(flat, {0, missing}).view({-1, block});
    largest.copy_(rows.abs().amax(1));
    const Tensor units = (rows * largest.reciprocal().unsqueeze(1)).nan_to_num(0).flatten().slice(0, 0, flat.numel());
    packed.copy_(at::bucketize(units, middles.to(units.device())).view(packed.sizes()));
  }

  Tensor codes, middles;
};

class AdamW8bit : public Optimizer {
 public:
  using Config = AdamWConfig;
  AdamW8bit(const Config& config, std::vector<std::string> names, std::vector<Tensor> values)
      : Optimizer(std::move(names), std::move(values)), config_(config) {
    for (const char* kind : {"state1", "state2", "absmax1", "absmax2"}) state_[kind].resize(values_.size());
    for (size_t i = 0; i < values_.size(); ++i) {
      const bool coded = values_[i].numel() >= smallest_coded;
      for (const char* kind : {"state1", "state2"})
        state_[kind][i] = coded ? torch::zeros_like(values_[i], torch::kUInt8) : torch::zeros_like(values_[i]);
      if (!coded) continue;
      for (const char* kind : {"absmax1", "absmax2"})
        state_[kind][i] = torch::zeros({(values_[i].numel() + block - 1) / block}, values_[i].options());
    }
  }

 protected:
  void update(const std::vector<Tensor>& gradients, double lr) override {
    const auto count = static_cast<double>(steps_);
    const double first = 1 - std::pow(config_.beta1, count), second = std::sqrt(1 - std::pow(config_.beta2, count));
    for (size_t i = 0; i < values_.size(); ++i) {
      if (!gradients[i].defined()) continue;
      Tensor mean = read("state1", "absmax1", mean_codes_, i), square = read("state2", "absmax2", square_codes_, i);
      mean.mul_(config_.beta1).add_(gradients[i], 1 - config_.beta1);
      square.mul_(config_.beta2).addcmul_(gradients[i], gradients[i], 1 - config_.beta2);
      values_[i].mul_(1 - lr * config_.weight_decay).addcdiv_(mean, (square.sqrt() / second).add_(config_.eps), -lr / first);
      write("state1", "absmax1", mean_codes_, i, mean);
      write("state2", "absmax2", square_codes_, i, square);
    }
  }

 private:
  const Config config_;
  Tensor read(const char* kind, const char* scale, const Codebook& codes, size_t i) {
    return state_[scale][i].defined() ? codes.read(state_[kind][i], state_[scale][i]) : state_[kind][i];
  }
  void write(const char* kind, const char* scale, const Codebook& codes, size_t i, const Tensor& moments) {
    if (state_[scale][i].defined()) codes.write(moments, state_[kind][i], state_[scale][i]);
  }

  Codebook mean_codes_{true}, square_codes_{false};
};

}  // namespace

OptimizerMember adamw_8bit_optimizer() { return member<AdamW8bit, Optimizer, std::vector<std::string>, std::vector<Tensor>>(); }

}  // namespace palate
