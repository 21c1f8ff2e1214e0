// What a reward model's run will need, told from its config.json.
#pragma once

#include "palate/train/train.h"

namespace palate {

// `flop_seconds`: of one floating-point operation in a matrix product on this machine.
Forecast forecast_reward(const RunConfig& config, double flop_seconds);

}  // namespace palate
