// Fresh weights by PyTorch's own rules, each tensor keyed by its name, so that they depend on nothing else.
#pragma once

#include <cstdint>

namespace torch::nn {
class Module;
}

namespace palate {

// Linear and convolution: uniform within 1 / sqrt(fan in); norms: 1 and 0; embeddings: N(0, 1).
void init_weights(torch::nn::Module& model, uint64_t seed);

}  // namespace palate
