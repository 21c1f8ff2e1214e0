// PyTorch's default initial weights (torch/nn/modules/{linear,conv,normalization,sparse}.py, reset_parameters).
#include "palate/nn/init.h"

#include <torch/types.h>

#include <cmath>

#include "palate/core/generator.h"
#include "palate/nn/layers.h"
#include "palate/nn/resnet.h"
#include "palate/nn/text_time_embedding.h"

namespace palate {
namespace {

void set(Tensor& parameter, const Tensor& values) {
  const torch::NoGradGuard no_grad;
  parameter.copy_(values);
}

Generator generator(uint64_t seed, const std::string& name) { return Generator({seed, stable_hash(name), 0, Purpose::init}); }

// U(-bound, bound): kaiming_uniform with a = sqrt(5) has the bound 1 / sqrt(fan in), which is the bias's bound too.
void set_uniform(Tensor& parameter, double bound, uint64_t seed, const std::string& name) {
  set(parameter, generator(seed, name).uniform(parameter.sizes().vec()).mul_(2).sub_(1).mul_(bound));
}

void set_projection(Tensor& weight, Tensor& bias, uint64_t seed, const std::string& name) {
  const double bound = 1 / std::sqrt(static_cast<double>(weight.numel() / weight.size(0)));
  set_uniform(weight, bound, seed, name + ".weight");
  if (bias.defined()) set_uniform(bias, bound, seed, name + ".bias");
}

template <class Norm>
void set_norm(Norm& norm) {
  const torch::NoGradGuard no_grad;
  norm.weight.fill_(1);
  norm.bias.zero_();
}

}  // namespace

void init_weights(torch::nn::Module& model, uint64_t seed) {
  for (const auto& item : model.named_modules("", /*include_self=*/false)) {
    torch::nn::Module* module = item.value().get();
    if (auto* linear = dynamic_cast<Linear*>(module)) set_projection(linear->weight, linear->bias, seed, item.key());
    if (auto* conv = dynamic_cast<Conv2d*>(module)) set_projection(conv->weight, conv->bias, seed, item.key());
    if (auto* group = dynamic_cast<GroupNorm*>(module)) set_norm(*group);
    if (auto* layer = dynamic_cast<LayerNorm*>(module)) set_norm(*layer);
    if (auto* fourier = dynamic_cast<FourierTimesteps*>(module))
      set(fourier->weight, generator(seed, item.key() + ".weight").normal(fourier->weight.sizes().vec()));
    if (auto* pool = dynamic_cast<AttentionPooling*>(module)) {
      Tensor& position = pool->positional_embedding;
      set(position, generator(seed, item.key() + ".positional_embedding")
                        .normal(position.sizes().vec())
                        .div_(std::sqrt(static_cast<double>(position.size(1)))));
    }
    if (auto* table = dynamic_cast<Embedding*>(module)) {
      set(table->weight, generator(seed, item.key() + ".weight").normal(table->weight.sizes().vec()));
    }
  }
}

}  // namespace palate
