// The order in which a convolution's numbers lie in memory.
#pragma once

namespace torch::nn {
class Module;
}

namespace palate {

// Brings every convolution's weight into channels-last order, in place: pixels are then the rows that attention and our GroupNorm work on,
// and convolutions need no copies of them.
void to_channels_last(torch::nn::Module& model);

}  // namespace palate
