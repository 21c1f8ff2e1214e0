// What a U-Net costs, from its config.json alone: a walk over its layers without making them.
#pragma once

#include <cstdint>

#include "palate/io/json.h"

namespace palate {

struct UnetCost {
  double flops = 0;           // of one sample's forward pass, 2 a multiply-add
  int64_t saved_frozen = 0;   // numbers kept for the backward pass of one sample: weights frozen, adapters on attention
  int64_t conv_inputs = 0;    // what adapters on the residual blocks' convolutions add to it
  int64_t saved_trained = 0;  // the same when every weight is trained
  int64_t boundaries = 0;     // what gradient checkpointing keeps: the inputs of residual and transformer blocks
  int64_t largest_block = 0;  // saved_trained of the one block that is recomputed at a time
  int64_t blocks = 0;
};

enum class UnetPart : uint8_t { whole, down, mid };  // down: to the last down block; mid: to the mid block

// side: of the latent; tokens: length of the text. Keys that are missing take diffusers' defaults.
UnetCost unet_cost(const Json& config, int64_t side, int64_t tokens, UnetPart part = UnetPart::whole);

}  // namespace palate
