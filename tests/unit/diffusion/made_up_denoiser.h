// A network of one line for tests of the sampling loop: 0.3 x + mean of the text states * wave + t / 10000.
#pragma once

#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "palate/core/error.h"
#include "palate/diffusion/noise_process.h"
#include "palate/models/denoiser.h"

namespace palate::test {

class MadeUpDenoiser final : public Denoiser {
 public:
  explicit MadeUpDenoiser(Tensor wave) : wave_(std::move(wave)) {}  // [1, C, ...]
  Tensor predict(const Tensor& x_t, const Tensor& t, const Condition& condition) override {
    ++calls;
    return 0.3 * x_t + per_sample(condition["encoder_hidden_states"].mean({1, 2}), x_t) * wave_ +
           per_sample(t.to(torch::kFloat32), x_t) / 10000;
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
