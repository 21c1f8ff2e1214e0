// A network of one line for tests of the sampling loop: 0.3 x + mean of the text states * wave + t / 10000.
#pragma once

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/models/denoiser.h"

namespace palate::test {

class MadeUpDenoiser final : public Denoiser {
 public:
  explicit MadeUpDenoiser(Tensor wave) : wave_(std::move(wave)) {}  // [1, C, H, W]
  Tensor predict(const Tensor& x_t, const Tensor& t, const Condition& condition) override {
    ++calls;
    const Tensor mean = condition.text.mean({1, 2}).view({-1, 1, 1, 1});
    return 0.3 * x_t + mean * wave_ + t.to(torch::kFloat32).view({-1, 1, 1, 1}) / 10000;
  }
  torch::nn::Module& module() override { fail("a made-up denoiser has no module"); }
  const Json& config() const override { fail("a made-up denoiser has no config"); }
  int64_t latent_channels() const override { return wave_.size(1); }
  int64_t sample_size() const override { return wave_.size(2); }
  int64_t text_width() const override { return 4; }
  void set_gradient_checkpointing(bool) override {}

  int64_t calls = 0;

 private:
  Tensor wave_;
};

}  // namespace palate::test
