#include "palate/nn/memory_format.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstring>

namespace palate {
namespace {

// Where the numbers are: replacing a model's weights one by one leaves holes of their sizes in the heap, which were 0.4 GB with Stable
// Diffusion 1.5.
void reorder(torch::Tensor& weight) {
  const torch::Tensor moved = weight.detach().contiguous(torch::MemoryFormat::ChannelsLast);
  if (weight.storage().use_count() > 1 || !weight.is_contiguous()) return weight.set_data(moved);
  std::memcpy(weight.data_ptr(), moved.const_data_ptr(), moved.nbytes());
  weight.set_data(weight.detach().as_strided(moved.sizes(), moved.strides()));
}

}  // namespace

void to_channels_last(torch::nn::Module& model) {
  for (torch::Tensor& parameter : model.parameters()) {
    if (parameter.dim() == 4) reorder(parameter);
  }
}

}  // namespace palate
