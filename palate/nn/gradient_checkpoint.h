// Gradient checkpointing: a block's activations are not kept, its forward pass is run again in the backward pass.
#pragma once

#include <functional>
#include <vector>

#include "palate/core/tensor.h"

namespace palate {

// run(inputs), remembering only the inputs. Gradients reach the inputs as usual and accumulate into .grad of every
// parameter that `run` uses (so go backward with Tensor::backward, not with autograd::grad). `run` must be repeatable:
// randomness in it has to be keyed, which LoRA dropout's is. Which adapters are applied is remembered with the inputs.
Tensor checkpointed(const std::function<Tensor(const std::vector<Tensor>&)>& run, const std::vector<Tensor>& inputs);

}  // namespace palate
